"""The daemon's clockwork, with real processes on a real server."""

from __future__ import annotations

import errno
import signal
import subprocess
import time

import pytest
from tests.integration.daemon.liveness.processes import register
from tests.support.redis_fixtures import wait_for

from octet.base.errors import StaleToken
from octet.client.api import Octet
from octet.daemon.liveness.heartbeat import Heartbeat
from octet.daemon.projects.sessions import Projects
from octet.store import embedded


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
