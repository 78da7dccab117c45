"""What makes a unit test one: it starts no git and no Redis or Valkey server, connects to no
other machine and does not sleep.

Python reports processes and connections to an audit hook, whichever module asks for them. What a
process does that the test starts is not looked into.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

SERVERS = ("redis-server", "valkey-server", "redis-sentinel", "valkey-sentinel")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_found: list[str] = []
_watching = False
_sleep = time.sleep


def broken_rule(event: str, args: tuple[Any, ...]) -> str:
    """What the audit event breaks, in words; empty when a unit test may do it."""
    if event in {"subprocess.Popen", "os.posix_spawn"}:
        program = os.path.basename(os.fsdecode(args[0] or args[1][0]))  # noqa: PTH119
        return f"started {program}" if program in {"git", *SERVERS} else ""
    if (
        event == "socket.connect"
        and args[0].family != socket.AF_UNIX
        and args[1][0] not in LOOPBACK
    ):
        return f"connected to {args[1]}"
    return ""


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _watching and (rule := broken_rule(event, args)):
        _found.append(rule)


def _note_sleep(seconds: float) -> None:
    """`time.sleep`; the wait for a process with a time-out is one that no test asked for."""
    if sys._getframe(1).f_globals["__name__"] != "subprocess":
        _found.append(f"slept {seconds} s")
    _sleep(seconds)


sys.addaudithook(_audit)  # it cannot be taken away again, hence `_watching`


@pytest.fixture(autouse=True)
def pure() -> Iterator[None]:
    """Fails a test that does what only an integration test may."""
    global _watching
    _found.clear()
    _watching = True
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "sleep", _note_sleep)  # an audit event only since Python 3.13
            yield
    finally:
        _watching = False
    if _found:
        pytest.fail(f"not a unit test: it {', '.join(dict.fromkeys(_found))}", pytrace=False)
