"""Histories of operations: each process writes one line before an operation and one after its
answer.

Times are the machine's monotonic clock, one for all its processes. An operation without an answer
(its process was killed, or the server did not answer) may or may not have happened, and may still
happen: every check allows both.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OK = "ok"


class Recorder:
    """Writes one process's history, one `write` a line: SIGKILL leaves whole lines."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._number = 0

    def invoke(self, name: str, arguments: dict[str, Any]) -> int:
        """Record that an operation begins; returns its number."""
        self._number += 1
        self._write([self._number, time.monotonic_ns(), name, arguments])
        return self._number

    def answer(self, number: int, answer: dict[str, Any]) -> None:
        """Record what it came to."""
        self._write([number, time.monotonic_ns(), answer])

    @contextmanager
    def operation(self, name: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Record an invocation, then whatever the block puts into the dict it is given ("outcome"
        is "ok" otherwise).
        """
        number, answer = self.invoke(name, arguments), {"outcome": OK}
        yield answer
        self.answer(number, answer)

    def close(self) -> None:
        os.close(self._file)

    def _write(self, line: list[Any]) -> None:
        os.write(self._file, json.dumps(line, separators=(",", ":")).encode() + b"\n")


@dataclass(slots=True)
class Operation:
    """One operation of a process (`worker`), in ns; `answered` is None for an unknown outcome."""

    name: str
    worker: str
    invoked: int
    answered: int | None
    arguments: dict[str, Any]
    answer: dict[str, Any]

    @property
    def ok(self) -> bool:
        """It was answered, and done."""
        return self.answer.get("outcome") == OK

    @property
    def outcome(self) -> str:
        """What it came to; "?" where that is unknown."""
        return str(self.answer.get("outcome", "?"))


def read(paths: Iterable[Path]) -> list[Operation]:
    """All operations of the given histories, those of one process in their order; a torn last line
    never began.
    """
    return [operation for path in paths for operation in _read_one(path)]


def _read_one(path: Path) -> Iterable[Operation]:
    found: dict[int, Operation] = {}
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            number, at, *rest = json.loads(line)
            if len(rest) == 2:
                found[number] = Operation(rest[0], path.stem, at, None, rest[1], {})
            else:
                found[number].answered, found[number].answer = at, rest[0]
    return found.values()
