"""A file that another session holds, while the way to the store fails: every hook ends in time, and
the file stays guarded.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.redis_fixtures import Server, kill_hard, stop_hard, wait_for
from tests.support.scripted_redis import ScriptedRedis

from octet.store import embedded

from .machine import EVENTS, GUARD, Machine
from .test_cold import run_in_time
from .test_service import whole as whole

Write = Callable[[], bool]


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """The process of another session."""
    with subprocess.Popen(["/bin/sleep", "120"]) as process:
        yield process
        process.kill()


def hold(machine: Machine, other: subprocess.Popen[bytes]) -> Write:
    """The first session holds `a.py`; the function tells whether the other's write to it is
    blocked, in time.
    """
    theirs = {**machine.environment, "CLAUDE_PID": str(other.pid)}
    write = {"file_path": str(machine.repository / "a.py"), "content": "x"}
    machine.run("SessionStart", machine.recorded("session_start_startup"))
    machine.run(
        "SessionStart",
        machine.recorded("session_start_startup", session_id="other"),
        environment=theirs,
    )
    assert not run_in_time(
        machine, GUARD, machine.recorded("pre_tool_use_write", tool_input=write)
    ).blocks
    payload = machine.recorded("pre_tool_use_write", tool_input=write, session_id="other")

    def is_blocked() -> bool:
        return run_in_time(machine, GUARD, payload, environment=theirs).blocks

    assert is_blocked()
    return is_blocked


@pytest.mark.parametrize(
    "fault",
    [Fault.BLACK_HOLE, Fault.HALF_CLOSE, Fault.RESET, Fault.DELAY],
    ids=lambda fault: fault.name.lower(),
)
def test_a_held_file_stays_guarded(
    whole: Machine,
    other: subprocess.Popen[bytes],
    fault: Fault,
    short_directory: Path,
    redis_servers: Callable[[str], Server],
) -> None:
    """During the fault and after it; and other events are answered in time."""
    target = redis_servers("redis")
    with FaultProxy(f"unix://{short_directory}/p", target.url) as proxy:
        whole.environment["OCTET_REDIS_URL"] = proxy.url
        is_blocked = hold(whole, other)
        proxy.fault = fault
        assert is_blocked()
        assert not run_in_time(whole, "Stop").blocks
        proxy.fault = Fault.NONE
        proxy.cut()
        assert is_blocked()
        payload = whole.recorded(
            "pre_tool_use_write",
            tool_input={"file_path": str(whole.repository / "b.py"), "content": "x"},
        )
        # The daemon leaves a store that failed alone for a moment.
        wait_for(
            lambda: not run_in_time(whole, GUARD, payload).blocks, "what is free is free again"
        )


def test_a_server_that_is_stopped_and_killed(
    whole: Machine, other: subprocess.Popen[bytes]
) -> None:
    """The embedded server gets SIGSTOP, SIGCONT, SIGKILL: the file stays guarded, and the next hook
    brings the server back.
    """
    is_blocked = hold(whole, other)
    status = embedded.read_status()
    assert status
    stop_hard(status.pid)
    try:
        assert is_blocked()
    finally:
        os.kill(status.pid, signal.SIGCONT)
    assert is_blocked()
    kill_hard(status.pid)
    wait_for(lambda: is_blocked() and embedded.read_status() is not None, "the server is back")
    assert is_blocked()


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        (b"-MISCONF Errors writing to the AOF file: No space left on device\r\n", b"free space"),
        (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", b"maxmemory"),
        (b"-READONLY You can't write against a read only replica.\r\n", b"primary"),
        (b"-BUSY Redis is busy running a script.\r\n", b"SCRIPT KILL"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", b"loading"),
    ],
    ids=["disk full", "memory full", "replica", "long script", "loading"],
)
def test_a_store_that_refuses(
    whole: Machine, short_directory: Path, refusal: bytes, advice: bytes
) -> None:
    """The guard blocks with what to do; every other event goes on."""
    info = b"redis_version:7.2.0\r\n"
    reply = b"$%d\r\n%s\r\n" % (len(info), info)
    with ScriptedRedis(
        short_directory / "s", lambda words: reply if words[0] == "INFO" else refusal
    ) as scripted:
        whole.environment["OCTET_REDIS_URL"] = scripted.url
        answer = run_in_time(whole, GUARD)
        assert answer.blocks
        assert advice in answer.out + answer.err
        for event in sorted(set(EVENTS) - {GUARD}):
            assert not run_in_time(whole, event).blocks
