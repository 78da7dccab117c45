"""Members without a terminal: child processes whose standard input stays open."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from octet.base.text import plain
from octet.crew.client import STREAMS, user_message
from octet.crew.hosts import Exit, Launch

MAX_LOG_BYTES = 5_000_000
# Of a member's output only the ends of turns matter; of a longer line no more than this is kept.
MAX_LINE_BYTES = 1 << 20
MAX_WORDS = 200
CHUNK_BYTES = 1 << 16
TYPE_WITHIN_BYTES = 200  # an event names its type in this part of its line

OnReadable = Callable[[int, Callable[[], None]], None]


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    log: Path
    log_bytes: int
    rest: bytes = b""  # the line that has not ended yet
    words: str = ""
    error: str = ""


class HeadlessHost:
    """Members as `claude -p` in stream-json.

    An idle session with open standard input costs nothing, and hooks can wake it. If this process
    is killed, the input closes and its members end after their turn: no session goes on without a
    supervisor.

    Args:
        watch: registers a callback for a descriptor that can be read; `unwatch` ends that.
    """

    def __init__(self, directory: Path, watch: OnReadable, unwatch: Callable[[int], None]) -> None:
        self._directory = directory
        self._watch = watch
        self._unwatch = unwatch
        self._children: dict[str, _Child] = {}

    def start(self, launch: Launch) -> int:
        process = subprocess.Popen(
            [launch.program, "-p", *STREAMS, *launch.options],
            cwd=launch.directory,
            env=dict(launch.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        log = self._directory / f"{launch.name}.log"
        child = _Child(process, log, log.stat().st_size if log.exists() else 0)
        self._children[launch.name] = child
        assert process.stdin is not None
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._watch(process.stdout.fileno(), lambda: self._read(child))
        with suppress(BrokenPipeError):  # it has ended already; its last words say why
            process.stdin.write(user_message(launch.prompt))
            process.stdin.flush()
        return process.pid

    def adopt(self, name: str, pid: int) -> bool:  # noqa: ARG002 - its streams died with its host
        return False

    def ask_to_end(self, name: str) -> None:
        """Close its standard input."""
        stdin = self._children[name].process.stdin
        assert stdin is not None
        with suppress(BrokenPipeError):
            stdin.close()

    def send(self, name: str, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._children[name].process.pid, number)

    def reap(self, name: str) -> Exit:
        self.send(name, signal.SIGKILL)  # to what the member started in its own group
        child = self._children.pop(name)
        status = child.process.wait()
        self._read(child)
        assert child.process.stdout is not None
        self._unwatch(child.process.stdout.fileno())
        for stream in (child.process.stdin, child.process.stdout):
            with suppress(BrokenPipeError):
                if stream:
                    stream.close()
        return Exit(status, child.words)

    def error(self, name: str) -> str:
        child = self._children.get(name)
        return child.error if child else ""

    def close(self) -> None:
        """Nothing to do: every member was reaped."""

    def _read(self, child: _Child) -> None:
        """Move its output into its log, and note how its turns end."""
        assert child.process.stdout is not None
        while data := _read_available(child.process.stdout.fileno()):
            _append(child, data)
            *lines, rest = (child.rest + data).split(b"\n")
            child.rest = rest[:MAX_LINE_BYTES]
            for line in lines:
                _note(child, line)
        if data == b"":
            self._unwatch(child.process.stdout.fileno())


def _read_available(descriptor: int) -> bytes | None:
    """What can be read now; b"" at the end of the stream, None if there is nothing yet."""
    try:
        return os.read(descriptor, CHUNK_BYTES)
    except BlockingIOError:
        return None


def _note(child: _Child, line: bytes) -> None:
    """Keep the error of a turn's end, or a line of plain text (an error of the program's start)."""
    if b'"type":"result"' in line[:TYPE_WITHIN_BYTES]:
        with suppress(ValueError):
            event = json.loads(line)
            result = plain(str(event.get("result", "")), MAX_WORDS)
            child.error = result if event.get("is_error") else ""
            child.words = child.error or child.words
    elif line and not line.startswith(b"{"):
        child.words = plain(line.decode(errors="replace"), MAX_WORDS)


def _append(child: _Child, data: bytes) -> None:
    """Append to its log, rotated once. A full disk costs log lines, never a member."""
    with suppress(OSError):
        if child.log_bytes > MAX_LOG_BYTES:
            child.log.replace(child.log.with_suffix(".log.1"))
            child.log_bytes = 0
        descriptor = os.open(child.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            child.log_bytes += os.write(descriptor, data)
        finally:
            os.close(descriptor)
