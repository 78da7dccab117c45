"""A transcript of Claude Code, read for the tokens that it says were used: a part at a time,
whatever the file is.

The client writes one JSON object a line. An answer of the model is written as a line for each of
its blocks, which share the message's id and repeat its usage: it counts once, with the largest
figures. A forked session begins with copies of another's lines, which name that session in
`requestSessionId` and count there. A sub-agent has a file of its own,
`<session>/subagents/agent-<id>.jsonl`.

The file may be anything: a pipe, a directory, ten gigabytes without a line's end, or cut off. What
cannot be read is not counted.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from octet.store.scripts import from_json, to_json

CHUNK_BYTES = 1 << 20
# A longer line is passed over; the client's own tools make none of such length.
MAX_LINE_BYTES = 4 << 20
MAX_READ_BYTES = 64 << 20
# More than any model takes at once: beyond it, a figure is no count of tokens.
MAX_TOKENS = 1_000_000_000
# Lines of one message stand close together; of so many messages before the place it is known what
# was counted.
RECENT = 32
FIELDS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


@dataclass(frozen=True)
class Tokens:
    """Tokens by kind; `messages` is how many answers of the model they are of."""

    input: int = 0
    output: int = 0
    cache_write: int = 0
    cache_read: int = 0
    messages: int = 0

    @property
    def total(self) -> int:
        """All that the model read or wrote, cached or not."""
        return self.input + self.output + self.cache_write + self.cache_read

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(*(a + b for a, b in zip(self.figures(), other.figures(), strict=True)))

    def figures(self) -> tuple[int, int, int, int, int]:
        return (self.input, self.output, self.cache_write, self.cache_read, self.messages)


@dataclass(frozen=True)
class Spent:
    """Tokens of one answer, or what a later line of it adds; `at_ms` by the client's clock, 0 where
    it does not say.
    """

    tokens: Tokens
    at_ms: int


@dataclass(frozen=True)
class ReadPosition:
    """How far a transcript was read: bytes, whether that is inside a line that was too long, and
    the last messages counted.
    """

    offset: int = 0
    inside: bool = False
    recent: tuple[tuple[str, Tokens], ...] = ()

    def pack(self, **more: str) -> str:
        """As text for the store, together with what else is to be known at this place."""
        recent = [[message, *tokens.figures()] for message, tokens in self.recent]
        return to_json({"offset": self.offset, "inside": self.inside, "recent": recent, **more})


def unpack(text: str) -> tuple[ReadPosition, dict[str, str]]:
    """A place and what else was packed with it.

    Raises:
        ValueError: it is not what `pack` wrote.
    """
    try:
        found = from_json(text)
        recent = tuple(
            (str(message), Tokens(*map(int, figures))) for message, *figures in found.pop("recent")
        )
        place = ReadPosition(max(0, int(found.pop("offset"))), bool(found.pop("inside")), recent)
        return place, {str(name): str(value) for name, value in found.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("no place in a transcript") from error


def end_of(path: Path) -> ReadPosition:
    """The end of a transcript as it is now: what is written later is read from there. Its beginning
    where it is not there yet.
    """
    descriptor = _open(path)
    if descriptor is None:
        return ReadPosition()
    try:
        size = os.fstat(descriptor).st_size
        return ReadPosition(size, inside=size > 0 and os.pread(descriptor, 1, size - 1) != b"\n")
    except OSError:
        return ReadPosition()
    finally:
        os.close(descriptor)


def read(
    path: Path, place: ReadPosition, most: int = MAX_READ_BYTES
) -> tuple[list[Spent], ReadPosition]:
    """What was used since `place`, of at most `most` bytes, and the place after it; the same place
    again where nothing could be read.
    """
    descriptor = _open(path)
    if descriptor is None:
        return [], place
    try:
        lines = _Lines(descriptor, place, most)
        recent, spent = dict(place.recent), list[Spent]()
        for line in lines:
            if found := _spent(line, recent):
                spent.append(found)
        return spent, ReadPosition(lines.offset, lines.inside, tuple(recent.items())[-RECENT:])
    except OSError:
        return [], place
    finally:
        os.close(descriptor)


def _open(path: Path) -> int | None:
    """A descriptor of a regular file. Asked before it is opened, because to open a device may do
    something, and without blocking.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


class _Lines:
    """The whole lines of a file from a place on; `offset` and `inside` are the place after those
    that were given out.
    """

    def __init__(self, descriptor: int, place: ReadPosition, most: int) -> None:
        self._descriptor = descriptor
        size = os.fstat(descriptor).st_size
        # One that was cut off goes on from its new end: what it had was counted.
        self.offset, self.inside = (
            (place.offset, place.inside) if place.offset <= size else (size, False)
        )
        self._end = min(size, self.offset + most)

    def __iter__(self) -> Iterator[bytes]:
        at, rest = self.offset, b""
        while at < self._end and (
            chunk := os.pread(self._descriptor, min(CHUNK_BYTES, self._end - at), at)
        ):
            at += len(chunk)
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                self.offset += len(line) + 1
                if not self.inside:
                    yield line
                self.inside = False
            if self.inside or len(rest) > MAX_LINE_BYTES:
                self.offset, self.inside, rest = at, True, b""


def _spent(line: bytes, recent: dict[str, Tokens]) -> Spent | None:
    if b'"usage"' not in line:
        return None
    try:
        entry = json.loads(line)
        message = entry["message"]
        if entry["type"] != "assistant" or entry.get(
            "requestSessionId", entry.get("sessionId")
        ) != entry.get("sessionId"):
            return None
        name, usage = message["id"], message["usage"]
        tokens = Tokens(*[*(_count(usage.get(field)) for field in FIELDS), 1])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not isinstance(name, str) or len(name) > 200 or not tokens.total:
        return None
    before = recent.pop(name, Tokens())
    recent[name] = Tokens(
        *(max(pair) for pair in zip(before.figures(), tokens.figures(), strict=True))
    )
    grown = Tokens(
        *(now - then for now, then in zip(recent[name].figures(), before.figures(), strict=True))
    )
    return Spent(grown, _moment(entry.get("timestamp"))) if grown.total else None


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else 0


def _moment(text: Any) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except (TypeError, ValueError, OverflowError, OSError):
        return 0
