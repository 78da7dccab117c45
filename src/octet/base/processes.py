"""Processes that belong together: their environment, command line or directory names one mark.

A mark is a directory, or a text in the environment, which child processes inherit.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from octet.base.polling import poll_until

SETTLE_S = 10.0


def processes_of(mark: Path | str) -> dict[int, str]:
    """Pid → command line of each running process that names the mark, without this process."""
    find = _from_proc if Path("/proc/self/environ").exists() else _from_ps
    return {pid: command for pid, command in find(os.fsencode(mark)) if pid != os.getpid()}


def kill_all(mark: Path | str) -> None:
    """SIGKILL every process that names the mark until none is left.

    Once is not enough: the two processes of a daemon restart each other.
    """

    def are_gone() -> bool:
        left = processes_of(mark)
        for pid in left:
            with suppress(ProcessLookupError):  # it ended since we looked
                os.kill(pid, signal.SIGKILL)
        return not left

    poll_until(are_gone, SETTLE_S)


def _from_proc(wanted: bytes) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            seen = (
                command + (entry / "environ").read_bytes() + os.fsencode((entry / "cwd").readlink())
            )
        except OSError:  # it ended, or is another user's
            continue
        if wanted in seen and command:
            yield int(entry.name), command.replace(b"\0", b" ").decode(errors="replace").strip()


def _from_ps(wanted: bytes) -> Iterator[tuple[int, str]]:
    # macOS: -E shows the environment of one's own processes behind the command.
    flags = ["-axEww"] if sys.platform == "darwin" else ["axeww"]
    listed = subprocess.run(
        ["ps", *flags, "-o", "pid=,command="], capture_output=True, check=False
    ).stdout
    for line in listed.splitlines():
        pid, _, command = line.strip().partition(b" ")
        if wanted in command:
            yield int(pid), command.decode(errors="replace")
