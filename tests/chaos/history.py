"""Histories of operations and the checks on them: each worker writes one line before an operation and one after its answer.

Times are the machine's monotonic clock, one for all its processes. A worker killed between the two lines leaves an
operation open: it may or may not have happened, and the checks allow both.
"""

from __future__ import annotations

import heapq
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any


class Recorder:
    """Writes one worker's history; each line is one `write`, so that SIGKILL leaves whole lines."""

    def __init__(self, path: Path, worker: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._worker = worker
        self._number = 0

    @contextmanager
    def operation(self, name: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Record an invocation, then whatever the block puts into the dict it is given."""
        self._number += 1
        self._write("invoke", name, arguments)
        answer: dict[str, Any] = {}
        yield answer
        self._write("answer", name, answer)

    def _write(self, kind: str, name: str, data: dict[str, Any]) -> None:
        line = {"kind": kind, "op": name, "worker": self._worker, "number": self._number, "at": time.monotonic_ns(), **data}
        os.write(self._file, json.dumps(line).encode() + b"\n")


@dataclass(frozen=True)
class Operation:
    """One operation; `answered` is None for one whose worker died before it knew."""

    name: str
    worker: str
    invoked: int
    answered: int | None
    arguments: dict[str, Any]
    answer: dict[str, Any]


def read(paths: Iterable[Path]) -> list[Operation]:
    """All operations of the given histories; a torn last line is an operation that never began."""
    found: dict[tuple[str, int], Operation] = {}
    for path in paths:
        for line in path.read_text().splitlines(keepends=True):
            if not line.endswith("\n"):
                continue
            entry = json.loads(line)
            at, kind, key = entry.pop("at"), entry.pop("kind"), (entry.pop("worker"), entry.pop("number"))
            name = entry.pop("op")
            if kind == "invoke":
                found[key] = Operation(name, key[0], at, None, entry, {})
            else:
                before = found[key]
                found[key] = Operation(name, key[0], before.invoked, at, before.arguments, entry)
    return list(found.values())


def check(operations: list[Operation], added: set[str]) -> list[str]:
    """What contradicts the invariants: nothing lost, nothing doubled, tokens that only grow, one holder at a time."""
    return [*_check_done(operations, added), *_check_tokens(operations), *_check_holders(operations)]


def _check_done(operations: list[Operation], added: set[str]) -> Iterator[str]:
    done = Counter(op.arguments["task"] for op in operations if op.name == "complete" and op.answer.get("result") == "done")
    open_ended = {op.arguments["task"] for op in operations if op.name == "complete" and op.answered is None}
    for task, times in done.items():
        if times > 1:
            yield f"task {task} was completed {times} times"
        if task not in added:
            yield f"task {task} was completed and never added"
    for task in added - set(done) - open_ended:
        yield f"task {task} was added and never completed"


def _check_tokens(operations: list[Operation]) -> Iterator[str]:
    """A claim that began after another's answer has the greater token (real-time order), and no token is given twice."""
    claims = sorted((op for op in operations if op.name == "claim" and "token" in op.answer), key=lambda op: op.invoked)
    times = Counter(op.answer["token"] for op in claims)
    yield from (f"token {token} was given {count} times" for token, count in times.items() if count > 1)
    answered: list[tuple[int, int]] = []
    greatest = 0
    for claim in claims:
        while answered and answered[0][0] < claim.invoked:
            greatest = max(greatest, heapq.heappop(answered)[1])
        token = int(claim.answer["token"])
        if token <= greatest:
            yield f"task {claim.answer['task']}: token {token} was given after token {greatest}"
        assert claim.answered is not None
        heapq.heappush(answered, (claim.answered, token))


def _check_holders(operations: list[Operation]) -> Iterator[str]:
    """Between a claim's answer and the invocation of what ended it, nobody else may be given the task."""
    spans: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    ends = {(op.arguments["task"], op.arguments["token"]): op.invoked for op in operations if op.name in {"complete", "died"}}
    for op in operations:
        if op.name == "claim" and "token" in op.answer and op.answered is not None:
            task = op.answer["task"]
            spans[task].append((op.answered, ends.get((task, op.answer["token"]), op.answered), op.worker))
    for task, held in spans.items():
        held.sort()
        for (_, end, first), (start, _, second) in pairwise(held):
            if start < end:
                yield f"task {task} was held by {first} and {second} at once"
