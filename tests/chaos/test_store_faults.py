"""The way to the store fails in every manner: nothing hangs, nothing is doubled, one line says it,
and it goes on by itself afterwards.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.redis_fixtures import Server, find_program, kill_hard, stop_hard, wait_for
from tests.support.store_fixtures import contradictions, join

from octet.base.errors import StoreUnreachable
from octet.client.api import Octet
from octet.store import embedded
from octet.store.connection import connect

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

FAULTS = [fault for fault in Fault if fault not in (Fault.NONE, Fault.DELAY)]
ANSWER_S = 0.4


@pytest.fixture(params=["unix", "tcp"])
def proxy(
    request: pytest.FixtureRequest, short_directory: Path, redis_servers: Callable[[str], Server]
) -> Iterator[FaultProxy]:
    """A proxy in front of an empty server."""
    target = redis_servers("redis").url
    with connect(target) as client:
        client.flushall()
    listen = f"unix://{short_directory}/p" if request.param == "unix" else "redis://127.0.0.1:0"
    with FaultProxy(listen, target) as found:
        yield found


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.lower())
def test_a_fault_on_the_way(proxy: FaultProxy, fault: Fault) -> None:
    """Each command ends in time with one line; none is sent twice; healed, the same client goes on
    and finds all that was acknowledged.
    """
    with Octet(connect(proxy.url, answer_s=ANSWER_S), "p") as octet:
        agent = join(octet)
        held = octet.tasks.add("held")
        token = octet.tasks.claim(agent, task_id=held.id).token
        proxy.fault = fault
        if fault is Fault.REFUSE:
            proxy.cut()
        for attempt in ("one", "two"):
            began = time.monotonic()
            with pytest.raises(StoreUnreachable) as caught:
                octet.tasks.add(attempt)
            assert time.monotonic() - began < ANSWER_S + 10
            assert "\n" not in str(caught.value)
        proxy.fault = Fault.NONE
        proxy.cut()
        octet.tasks.progress(held.id, token, 50)
        added = octet.tasks.add("after")
        titles = [task.title for task in octet.tasks.list()]
        assert {"held", "after"} <= set(titles)
        assert len(titles) == len(
            set(titles)
        )  # what was sent once and not answered is there once, or not at all
        assert added.id in {task.id for task in octet.tasks.list()}
        assert contradictions(octet) == []


def test_a_slow_way(proxy: FaultProxy) -> None:
    """A delay below the time for an answer costs nothing but time."""
    proxy.fault, proxy.delay_s = Fault.DELAY, 0.1
    with Octet(connect(proxy.url), "p") as octet:
        assert octet.tasks.claim(join(octet), task_id=octet.tasks.add("x").id).token


@pytest.mark.parametrize("shift_s", [-86_400.0, 86_400.0], ids=["back", "forward"])
def test_a_clients_clock_is_wrong(
    octet: Octet, monkeypatch: pytest.MonkeyPatch, shift_s: float
) -> None:
    """A day wrong, a client expires no agent, its leases last, and its times are the server's."""
    other = join(octet)
    task = octet.tasks.add("x")
    real, real_ns = time.time, time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + shift_s)
        patch.setattr(time, "time_ns", lambda: real_ns() + int(shift_s * 1e9))
        agent = join(octet)
        claimed = octet.tasks.claim(agent)
        octet.locks.acquire(agent, ["name:deploy"])
        assert octet.agents.without_heartbeat() == []
        assert octet.agents.expire_silent(other) is None
        assert octet.agents.heartbeat([agent, other]) == [True, True]
        lock = octet.locks.get("name:deploy")
    assert claimed.id == task.id
    for moment_ms in (claimed.claimed_ms, agent.joined_ms, lock.since_ms):
        assert abs(moment_ms - octet.now_ms()) < 60_000
    assert 0 < lock.ttl_ms <= 120_000
    octet.tasks.complete(claimed.id, claimed.token)


def test_a_stopped_server(embedded_home: Path) -> None:
    """SIGSTOP: commands end in time with one line; SIGCONT: the client goes on without loss."""
    assert embedded_home
    with Octet(connect(None, answer_s=ANSWER_S), "p") as octet:
        octet.tasks.add("before")
        status = embedded.read_status()
        assert status
        stop_hard(status.pid)
        try:
            with pytest.raises(StoreUnreachable):
                octet.tasks.add("meanwhile")
        finally:
            os.kill(status.pid, signal.SIGCONT)
        octet.tasks.add("after")
        assert {"before", "after"} <= {task.title for task in octet.tasks.list()}


ADDER = """
import sys
from octet.client.api import Octet
from octet.base.errors import StoreUnreachable
from octet.store.connection import connect
name, count, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with Octet(connect(None), "p") as octet, open(path, "w") as log:
    n = done = 0
    while done < count:
        n += 1
        try:
            octet.tasks.add(f"{name} {n}")
        except StoreUnreachable:
            continue
        log.write(f"{name} {n}\\n")
        log.flush()
        done += 1
"""
ADDERS, KILLS = 4, 6
LINE_BYTES = 6


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("family", "each"), [("redis", 1250), ("valkey", 250)])
def test_five_thousand_acknowledged_tasks(
    family: str, each: int, embedded_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Four processes add tasks while the server gets SIGKILL again and again: every acknowledged
    one is there, once, in one state.
    """
    binary = find_program(family)
    (embedded_home / "bin").mkdir()
    (embedded_home / "bin" / binary.name).symlink_to(binary)
    monkeypatch.setenv("PATH", str(embedded_home / "bin"))
    logs = [tmp_path / f"{number}" for number in range(ADDERS)]
    with Octet(connect(None), "p") as octet:
        adders = [
            subprocess.Popen([sys.executable, "-c", ADDER, log.name, str(each), log])
            for log in logs
        ]

        def acknowledged() -> list[str]:
            return [line for log in logs if log.exists() for line in log.read_text().splitlines()]

        def written() -> int:
            return sum(log.stat().st_size for log in logs if log.exists())

        def wait_until_written(share: int) -> None:
            wait_for(lambda: written() >= share, f"{share} bytes of tasks are added", 120)

        for number in range(1, KILLS + 1):
            wait_until_written(number * ADDERS * each * LINE_BYTES // (KILLS + 2))
            if status := embedded.read_status():
                kill_hard(status.pid)
        assert [adder.wait(120) for adder in adders] == [0] * ADDERS
        stored = [task.title for task in octet.tasks.list(limit=100_000)]
        assert len(acknowledged()) == ADDERS * each
        assert set(acknowledged()) <= set(stored)
        assert len(stored) == len(set(stored))
        assert (
            len(stored) - ADDERS * each <= KILLS * ADDERS
        )  # at most what each had under way at a kill
        assert contradictions(octet) == []
