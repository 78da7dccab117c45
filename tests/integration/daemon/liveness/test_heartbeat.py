"""Heartbeats, burials and their order, with real processes on a real server."""

from __future__ import annotations

import errno
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.redis_fixtures import wait_for

from octet.base.errors import StaleToken, StoreUnreachable
from octet.base.process import host_id, identify
from octet.client.api import Octet
from octet.core.agents.registry import Agent, Registration
from octet.daemon.liveness.heartbeat import Heartbeat, Pace
from octet.daemon.liveness.rescuer import Rescuer
from octet.daemon.liveness.sweep import sweep
from octet.daemon.projects.sessions import Projects
from octet.store import embedded


@pytest.fixture
def heartbeat(projects: Projects) -> Iterator[Heartbeat]:
    heartbeat = Heartbeat(projects)
    yield heartbeat
    heartbeat.stop()


def register(
    octet: Octet, process: subprocess.Popen[bytes], *, suffix: str = "", parent: str = ""
) -> Agent:
    identity = identify(process.pid)
    assert identity
    wanted = Registration(
        role="developer",
        process=str(identity) + suffix,
        host=identity.host,
        pid=identity.pid,
        parent=parent,
    )
    return octet.agents.register(wanted).agent


def test_a_killed_process_gives_its_work_back_within_two_seconds(
    octet: Octet, heartbeat: Heartbeat, sleeper: subprocess.Popen[bytes]
) -> None:
    """SIGKILL: task claimable, locks free, sub-agent buried, the old token refused."""
    agent = register(octet, sleeper)
    child = register(octet, sleeper, suffix="#sub", parent=agent.id)
    octet.tasks.add("contested")
    task = octet.tasks.claim(agent)
    octet.locks.acquire(agent, ["path:a.py"])
    octet.locks.acquire(child, ["path:b.py"])
    heartbeat.start()
    wait_for(lambda: heartbeat.live_agents() == 2, "the first heartbeat")
    sleeper.kill()
    began = time.monotonic()
    wait_for(lambda: not octet.agents.list(), "both agents are buried", deadline_s=2)
    assert time.monotonic() - began < 2
    assert octet.tasks.get(task.id).state == "pending"
    assert octet.locks.list() == []
    with pytest.raises(StaleToken):
        octet.tasks.complete(task.id, task.token)


def test_only_what_was_written_is_flushed(
    projects: Projects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each change, and again where the disk has failed: an idle machine is left alone."""
    looks = [frozenset({("log", size, 0)}) for size in (1, 1, 2, 2, 2)]
    flushed: list[int] = []

    def flush() -> None:
        flushed.append(len(looks))
        if len(flushed) == 2:
            raise OSError(errno.EIO, "the disk failed")

    monkeypatch.setattr(embedded, "data_stamps", lambda: looks.pop(0))
    monkeypatch.setattr(embedded, "flush_to_disk", flush)
    heartbeat = Heartbeat(projects)
    while looks:
        heartbeat._flush()
    heartbeat._watcher.stop()
    assert flushed == [4, 2, 1]


def test_the_living_are_renewed_before_the_expired_are_buried(
    octet: Octet, heartbeat: Heartbeat, sleeper: subprocess.Popen[bytes]
) -> None:
    """A daemon that comes back late finds a lease run out whose process lives: the agent keeps task
    and lock.
    """
    agent = register(octet, sleeper)
    octet.tasks.add("long work")
    task = octet.tasks.claim(agent)
    octet.store.client.delete(octet.store.keys.heartbeat(agent.id))
    heartbeat.start()
    wait_for(
        lambda: bool(octet.store.client.exists(octet.store.keys.heartbeat(agent.id))),
        "the lease is renewed",
    )
    octet.tasks.complete(task.id, task.token)


def test_an_expired_agent_of_another_machine_is_buried(octet: Octet, heartbeat: Heartbeat) -> None:
    """Elsewhere only the lease can tell: one that has run out is the end."""
    octet.agents.register(
        Registration(
            role="developer", process="elsewhere-0:1:1", host="elsewhere-0", pid=1, lease_ms=50
        )
    )
    alive = octet.agents.register(
        Registration(role="developer", process="elsewhere-0:2:1", host="elsewhere-0", pid=2)
    ).agent
    wait_for(lambda: len(octet.agents.without_heartbeat()) == 1, "the lease runs out")
    heartbeat.start()
    wait_for(lambda: [agent.id for agent in octet.agents.list()] == [alive.id], "it is buried")


def test_a_lease_that_runs_out_is_heard_of(octet: Octet, projects: Projects) -> None:
    """Where the server tells of it, no round is waited for."""
    octet.store.client.config_set("notify-keyspace-events", "Ex")
    slow = Heartbeat(projects, Pace(lease_ms=600_000))
    elsewhere = Registration(
        role="developer", process="elsewhere-0:1:1", host="elsewhere-0", pid=1, lease_ms=2000
    )
    octet.tasks.add("contested")
    octet.tasks.claim(octet.agents.register(elsewhere).agent)
    try:
        slow.start()
        wait_for(lambda: not octet.agents.list(), "it is buried")
    finally:
        slow.stop()
        octet.store.client.config_set("notify-keyspace-events", "")
    task = octet.tasks.get("1")
    assert (task.state, [(ended.attempt, ended.agent, ended.reason) for ended in task.ended]) == (
        "pending",
        [(1, "developer-1", "expired")],
    )


def test_one_daemon_of_all_has_the_sweep(octet: Octet) -> None:
    """Until its machine goes silent; whoever has it then has a greater epoch, and what began under
    the old one buries nobody.
    """
    elsewhere = Registration(
        role="developer", process="elsewhere-0:1:1", host="elsewhere-0", pid=1, lease_ms=1
    )
    agent = octet.agents.register(elsewhere).agent
    wait_for(lambda: len(octet.agents.without_heartbeat()) == 1, "the lease runs out")
    first = octet.agents.acquire_sweeper("one:1:1", 60_000)
    assert octet.agents.acquire_sweeper("one:1:1", 200) == first
    assert octet.agents.acquire_sweeper("two:1:1", 200) == ""
    wait_for(lambda: octet.agents.acquire_sweeper("two:1:1", 60_000) != "", "the sweep passes on")
    second = octet.agents.acquire_sweeper("two:1:1", 60_000)
    assert int(second) > int(first)
    assert octet.agents.expire_silent(agent, first) is None
    octet.agents.heartbeat([agent])
    assert octet.agents.expire_silent(agent, second) is None, "it has come back"
    octet.store.client.delete(octet.store.keys.heartbeat(agent.id))
    assert octet.agents.expire_silent(agent, second) is not None


def test_a_daemon_without_the_sweep_buries_its_own_only(octet: Octet) -> None:
    """What lies on its machine nobody else can save; others' dead are another daemon's business."""
    assert octet.agents.acquire_sweeper("two:1:1", 60_000)
    for name, host in (("own", host_id()), ("other", "elsewhere-0")):
        octet.agents.register(Registration(name=name, host=host, lease_ms=1))
    wait_for(lambda: len(octet.agents.without_heartbeat()) == 2, "the leases run out")
    sweep(octet, Rescuer(), (), 1000)
    assert [agent.id for agent in octet.agents.list()] == ["other"]


def test_a_successor_takes_up_the_projects_of_a_killed_daemon(
    octet: Octet,
    projects: Projects,
    repository: Path,
    redis_url: str,
    sleeper: subprocess.Popen[bytes],
) -> None:
    """Nothing is kept only in a daemon's memory: the next one renews leases before any hook has
    come by.
    """
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


def test_fifty_agents_are_renewed_by_one_pipeline(octet: Octet) -> None:
    """The cost of a round does not grow by a round trip for each agent."""
    agents = [
        octet.agents.register(Registration(role="developer", name=f"d{n}")).agent for n in range(50)
    ]
    before = int(octet.store.client.info("stats")["total_net_input_bytes"])
    assert octet.agents.heartbeat(agents) == [True] * 50
    assert int(octet.store.client.info("stats")["total_net_input_bytes"]) - before < 50 * 600


def test_a_killed_orchestrator_is_replaced_within_two_seconds_and_a_stopped_one_never(
    octet: Octet, heartbeat: Heartbeat, sleeper: subprocess.Popen[bytes]
) -> None:
    """The second of this machine leads as soon as the first's process is dead; that it stands still
    is no reason.
    """
    second_process = subprocess.Popen(["sleep", "60"])
    try:
        first = octet.agents.join(register(octet, sleeper), "orchestrator")
        second = octet.agents.join(register(octet, second_process), "orchestrator")
        heartbeat.start()
        wait_for(lambda: heartbeat.live_agents() == 2, "the first heartbeat")
        sleeper.send_signal(signal.SIGSTOP)
        octet.store.client.delete(octet.store.keys.heartbeat(first.id))
        heartbeat.beat_soon()
        wait_for(
            lambda: bool(octet.store.client.exists(octet.store.keys.heartbeat(first.id))),
            "a round that renews its lease",
        )
        assert octet.election.position(first) == "leads"
        killed = time.monotonic()
        sleeper.kill()
        wait_for(lambda: octet.election.position(second) == "leads", "the second leads")
        assert time.monotonic() - killed < 2
    finally:
        second_process.kill()
        second_process.wait()
