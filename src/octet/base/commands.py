"""A command run to its end, together with all that it starts.

with tempfile.TemporaryFile() as output:
    status = run_command(["/bin/sh", "-c", "make test"], output, limit_s=600)
    last_words = read_tail(output, 4000)

A command has a process group of its own. At its end, at the end of its time, on an interrupt and
when the process that runs it is killed, what is left of the group is killed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

LOOK_S = 0.5
_GROUP_END_S = 1.0
# The watcher waits for the end of a socket that nothing is written to, and kills the group then.
# The end comes when the process that runs the command closes its side, or is killed. The watcher is
# no child of the command, whose shell or `make` would wait for it.
_WATCHED = (
    'exec N<&0 <"$1"; shift; ( { read -r _ <&N; kill -9 0; } </dev/null >/dev/null 2>&1 & ); '
    'exec N<&-; exec "$@"'
)
_SHELL_DESCRIPTORS = range(3, 10)  # all that every shell can name, beside the standard ones


def run_command(
    words: Sequence[str],
    output: IO[bytes] | IO[str],
    *,
    errors: IO[bytes] | None = None,
    given: str = os.devnull,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    kept: Sequence[int] = (),
    limit_s: float | None = None,
    stop: threading.Event | None = None,
) -> int | None:
    """Run a command; its exit status, negative for a signal, None where it was killed at the end
    of its time or at `stop`.

    Output goes to files: a pipe would be held open by what the command leaves running.

    Args:
        words: the program and its arguments; a program that is missing is a status of 127.
        errors: where its standard error goes; by default where its output goes.
        given: path of the file that is its standard input.
        environment: in place of this process's.
        kept: descriptors that it inherits.

    Raises:
        OSError: the directory is missing, or no process can be started.
        ValueError: there is a NUL character in a word.
    """
    free = next(str(number) for number in _SHELL_DESCRIPTORS if number not in kept)
    with _line() as (watcher, ours):
        process = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHED.replace("N", free), "octet", given, *words],
            stdin=watcher.fileno(),
            stdout=output,
            stderr=subprocess.STDOUT if errors is None else errors,
            cwd=directory,
            env=environment,
            pass_fds=kept,
            start_new_session=True,
        )
        watcher.close()
        try:
            return wait_for_end(process, limit_s, stop)
        finally:
            _end_watcher(ours)


def wait_for_end(
    process: subprocess.Popen[bytes],
    limit_s: float | None = None,
    stop: threading.Event | None = None,
) -> int | None:
    """Wait for the leader of a process group; its exit status, None where the group was killed at
    the end of the time or at `stop`. An interrupt kills it too.
    """
    deadline = None if limit_s is None else time.monotonic() + limit_s
    try:
        while not (stop and stop.is_set()):
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            with suppress(subprocess.TimeoutExpired):
                return process.wait(_shorter(left_s, LOOK_S if stop else None))
            if deadline is not None and time.monotonic() >= deadline:
                return None
        return None
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the group that a child leads, and wait for the child; nothing where that was done."""
    if process.returncode is None:  # not reaped, so the group is still its own
        with suppress(PermissionError):  # macOS, where all of the group have ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def read_tail(file: IO[bytes], max_bytes: int) -> str:
    """The last bytes of a file as text."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - max_bytes))
    return file.read().decode(errors="replace")


def _shorter(one_s: float | None, other_s: float | None) -> float | None:
    return min((time_s for time_s in (one_s, other_s) if time_s is not None), default=None)


@contextmanager
def _line() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The watcher's side of its line, and ours."""
    theirs, ours = socket.socketpair()
    with theirs, ours:
        yield theirs, ours


def _end_watcher(ours: socket.socket) -> None:
    """Let it kill what is left of the group, itself with it, and wait for that."""
    ours.settimeout(_GROUP_END_S)
    ours.shutdown(socket.SHUT_WR)
    with suppress(TimeoutError, ConnectionError):  # it is stopped, or was gone already
        ours.recv(1)
