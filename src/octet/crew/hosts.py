"""Where members of a crew run: without a terminal, as children whose standard input stays open. In
tmux: see `crew_tmux`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from octet.base.text import plain
from octet.crew.client import STREAMS, user_message

LOG_LIMIT = 5_000_000
# Only the end of a turn is read from a member's output, and of a line that is longer no more than
# this.
MOST_LINE = 1 << 20
CHUNK = 1 << 16
WORDS = 200
HEAD = 200  # where an event says of which type it is


@dataclass(frozen=True)
class Start:
    """How to start one member. `options` end with how its conversation is named; `prompt` begins
    it.
    """

    name: str
    program: str
    options: Sequence[str]
    prompt: str
    directory: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Ended:
    """How a member ended: its exit status, or minus the signal; None where nobody can tell. And its
    last words.
    """

    status: int | None
    words: str = ""


class Host(Protocol):
    """Starts members, and tells how they ended."""

    def start(self, wanted: Start) -> int:
        """Start it; its pid.

        Raises:
            OSError: its program cannot be run.
        """

    def hang_up(self, name: str) -> None:
        """Tell it that nothing more will come: it ends when it has nothing to do."""

    def send(self, name: str, number: int) -> None:
        """Send it a signal."""

    def bury(self, name: str) -> Ended:
        """It has ended: how, and away with what is left of it."""

    def error(self, name: str) -> str:
        """What the model's service said at the end of its last turn; "" while all is well."""

    def close(self) -> None:
        """The crew has ended."""


Watch = Callable[[int, Callable[[], None]], None]


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    log: Path
    rest: bytes = b""
    words: str = ""
    error: str = ""
    size: int = field(default=0)


class HeadlessHost:
    """Members as `claude -p` in stream-json.

    Their standard input stays open as long as this process lives: an idle session costs nothing and
    hooks can wake it; and when this process is killed its members end by themselves after their
    turn, so that no session goes on with nobody to answer for it.

    Args:
        watch: how to be told that a descriptor can be read; `forget`: not any more.
    """

    def __init__(self, directory: Path, watch: Watch, forget: Callable[[int], None]) -> None:
        self._directory = directory
        self._watch = watch
        self._forget = forget
        self._children: dict[str, _Child] = {}

    def start(self, wanted: Start) -> int:
        process = subprocess.Popen(
            [wanted.program, "-p", *STREAMS, *wanted.options],
            cwd=wanted.directory,
            env=dict(wanted.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        log = self._directory / f"{wanted.name}.log"
        child = self._children[wanted.name] = _Child(
            process, log, size=log.stat().st_size if log.exists() else 0
        )
        assert process.stdin is not None
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._watch(process.stdout.fileno(), lambda: self._read(child))
        with suppress(BrokenPipeError):  # it has ended at once: its last words say why
            process.stdin.write(user_message(wanted.prompt))
            process.stdin.flush()
        return process.pid

    def hang_up(self, name: str) -> None:
        stdin = self._children[name].process.stdin
        assert stdin is not None
        with suppress(BrokenPipeError):
            stdin.close()

    def send(self, name: str, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._children[name].process.pid, number)

    def bury(self, name: str) -> Ended:
        self.send(name, signal.SIGKILL)  # what it started in its own group
        child = self._children.pop(name)
        status = child.process.wait()
        self._read(child)
        assert child.process.stdout is not None
        self._forget(child.process.stdout.fileno())
        for stream in (child.process.stdin, child.process.stdout):
            with suppress(BrokenPipeError):
                if stream:
                    stream.close()
        return Ended(status, child.words)

    def error(self, name: str) -> str:
        child = self._children.get(name)
        return child.error if child else ""

    def close(self) -> None:
        """Nothing is left: every member was buried."""

    def _read(self, child: _Child) -> None:
        """Take what it has said: into its log, and to see how its turns end."""
        assert child.process.stdout is not None
        while data := _read_some(child.process.stdout.fileno()):
            _append(child, data)
            *lines, rest = (child.rest + data).split(b"\n")
            child.rest = rest[:MOST_LINE]
            for line in lines:
                _note(child, line)
        if data == b"":
            self._forget(child.process.stdout.fileno())


def _read_some(descriptor: int) -> bytes | None:
    """What can be read now; b"" at the end, None where there is nothing yet."""
    try:
        return os.read(descriptor, CHUNK)
    except BlockingIOError:
        return None


def _note(child: _Child, line: bytes) -> None:
    if b'"type":"result"' in line[:HEAD]:
        with suppress(ValueError):
            event = json.loads(line)
            child.error = (
                plain(str(event.get("result", "")), WORDS) if event.get("is_error") else ""
            )
            child.words = child.error or child.words
    elif line and not line.startswith(b"{"):
        child.words = plain(line.decode(errors="replace"), WORDS)


def _append(child: _Child, data: bytes) -> None:
    """Into the log, of which there are two: this one and the one before. A full disk costs lines,
    never a member.
    """
    with suppress(OSError):
        if child.size > LOG_LIMIT:
            child.log.replace(child.log.with_suffix(".log.1"))
            child.size = 0
        descriptor = os.open(child.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            child.size += os.write(descriptor, data)
        finally:
            os.close(descriptor)
