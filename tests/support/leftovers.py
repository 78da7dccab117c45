"""Processes that a test leaves behind are its own failure, and are ended before the next test.

They are known by a directory of the test in their environment, command line or working directory:
HOME above all, which everything that a test starts inherits.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from octet.base.processes import kill_all, processes_of

# What has been told to end, or notices by itself that it is alone, may take this long.
SETTLE_S = 10.0
DIRECTORIES = ("temporary_home", "embedded_home", "short_directory", "tmp_path")
STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
_started = False


def _audit(event: str, args: tuple[Any, ...]) -> None:  # noqa: ARG001
    global _started
    if event in STARTS:
        _started = True


sys.addaudithook(_audit)  # most tests start nothing: then nothing is looked for


def pytest_configure() -> None:
    """Children begin with the default signals, though a run in the background of a script, or under
    nohup, ignores some.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:  # noqa: ARG001
    global _started
    _started = False
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """After the fixtures have ended what they know of."""
    marks = _marks(item)
    try:
        yield
    finally:
        left = _end_processes(marks) if _started else {}
    if left:
        lines = [f"{pid} {command}" for pid, command in sorted(left.items())]
        pytest.fail("\n".join(["left running:", *lines]), pytrace=False)


def _marks(item: pytest.Item) -> list[str]:
    """The directories that only this test has."""
    found: dict[str, Any] = getattr(item, "funcargs", {})
    return [str(found[name]) for name in DIRECTORIES if isinstance(found.get(name), Path)]


def _end_processes(marks: list[str]) -> dict[int, str]:
    """Pid → command line of those that had to be killed."""
    end = time.monotonic() + SETTLE_S
    while (left := _running(marks)) and time.monotonic() < end:
        time.sleep(0.02)
    for mark in marks if left else ():
        kill_all(mark)
    return left


def _running(marks: list[str]) -> dict[int, str]:
    return {pid: command for mark in marks for pid, command in processes_of(mark).items()}
