"""The projects that a daemon serves."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.integration.daemon.liveness.processes import register
from tests.support.redis_fixtures import wait_for

from octet.base.errors import StoreUnreachable
from octet.client.api import Octet
from octet.daemon.liveness.heartbeat import Heartbeat
from octet.daemon.projects.sessions import Projects


def test_a_successor_takes_up_the_projects_of_a_killed_daemon(
    octet: Octet,
    projects: Projects,
    repository: Path,
    redis_url: str,
    sleeper: subprocess.Popen[bytes],
) -> None:
    """The next daemon renews leases before any hook: no state is only in memory."""
    agent = register(octet, sleeper)
    first = Heartbeat(projects)
    first.start()
    wait_for(lambda: first.live_agents() == 1, "the first heartbeat")
    first.stop()
    octet.store.client.delete(octet.store.keys.heartbeat(agent.id))
    fresh = Projects()
    second = Heartbeat(fresh)
    second.start()
    wait_for(lambda: second.live_agents() == 1, "the successor's heartbeat")
    second.stop()
    assert [(str(project.root), project.url) for project in fresh.all()] == [
        (str(repository), redis_url)
    ]
    assert octet.store.client.exists(octet.store.keys.heartbeat(agent.id))
    for project in fresh.all():
        project.connected().close()


def test_a_store_that_is_back_is_asked_again(
    octet: Octet, projects: Projects, repository: Path, redis_url: str
) -> None:
    """However many hooks come by while it counts as down: each hears so, and none makes it last
    longer.
    """
    assert octet
    project = projects.find(str(repository), redis_url)
    project.mark_down(StoreUnreachable("it hangs"))

    def answers() -> bool:
        try:
            return bool(project.connected())
        except StoreUnreachable as error:
            project.mark_down(error)
            return False

    assert not answers()
    wait_for(answers, "the store is asked again")
