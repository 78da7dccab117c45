"""An agent whose process stands still is not one that is dead."""

from __future__ import annotations

import os
import signal
import subprocess

from tests.support.redis_fixtures import wait_for

from octet.base.process import identify
from octet.client.api import Octet
from octet.core.agents.registry import Registration
from octet.daemon.liveness.heartbeat import Heartbeat
from octet.daemon.projects.sessions import Projects


def test_a_stopped_agent_keeps_what_it_has(
    octet: Octet, projects: Projects, sleeper: subprocess.Popen[bytes]
) -> None:
    """SIGSTOP, as by Ctrl-Z or a debugger: its lease is renewed for it, and its task is its own
    when it goes on.
    """
    identity = identify(sleeper.pid)
    assert identity
    wanted = Registration(
        role="developer", process=str(identity), host=identity.host, pid=identity.pid
    )
    agent = octet.agents.register(wanted).agent
    octet.tasks.add("long work")
    task = octet.tasks.claim(agent)
    os.kill(sleeper.pid, signal.SIGSTOP)
    lease = octet.store.keys.heartbeat(agent.id)
    octet.store.client.pexpire(lease, 5_000)
    heartbeat = Heartbeat(projects)
    heartbeat.start()
    try:
        wait_for(
            lambda: octet.store.client.pttl(lease) > 5_000,
            "the lease of the stopped agent is renewed",
        )
    finally:
        heartbeat.stop()
        os.kill(sleeper.pid, signal.SIGCONT)
    octet.tasks.complete(task.id, task.token)
