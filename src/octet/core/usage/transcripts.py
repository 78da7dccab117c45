"""The tokens used according to a transcript.

A model's answer has a line for each block, which share the message's id and repeat its usage:
it counts once, with the largest figures. A forked session begins with copies of another's lines,
which name that session in `requestSessionId` and count there. A sub-agent has a file of its own,
`<session>/subagents/agent-<id>.jsonl`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from octet.core.usage.transcript_reader import TranscriptReader, Usage, find_end
from octet.store.scripts import from_json, to_json

# The lines of one message stand close together: the counts of so many messages are remembered.
RECENT = 32


@dataclass(frozen=True)
class Tokens:
    """Tokens by kind; `messages` is the number of the model's answers."""

    input: int = 0
    output: int = 0
    cache_write: int = 0
    cache_read: int = 0
    messages: int = 0

    @property
    def total(self) -> int:
        """All tokens that the model read or wrote, cached or not."""
        return self.input + self.output + self.cache_write + self.cache_read

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(*(a + b for a, b in zip(self.figures(), other.figures(), strict=True)))

    def figures(self) -> tuple[int, int, int, int, int]:
        return (self.input, self.output, self.cache_write, self.cache_read, self.messages)


@dataclass(frozen=True)
class Spent:
    """The tokens of one answer, or those that a later line of it adds; `at_ms` is the client's
    clock, 0 for none.
    """

    tokens: Tokens
    at_ms: int


@dataclass(frozen=True)
class ReadPosition:
    """How far a transcript was read: bytes, whether that is inside an overlong line, and the last
    messages counted.
    """

    offset: int = 0
    inside: bool = False
    recent: tuple[tuple[str, Tokens], ...] = ()

    def pack(self, **more: str) -> str:
        """The position and further fields as text for the store."""
        recent = [[message, *tokens.figures()] for message, tokens in self.recent]
        return to_json({"offset": self.offset, "inside": self.inside, "recent": recent, **more})


def unpack(text: str) -> tuple[ReadPosition, dict[str, str]]:
    """A position and the fields that were packed with it.

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
        raise ValueError("not a position in a transcript") from error


def end_of(path: Path) -> ReadPosition:
    """A transcript's present end, from which later lines are read; a missing one's beginning."""
    return ReadPosition(*find_end(path))


def read(
    path: Path, place: ReadPosition, reader: TranscriptReader | None = None
) -> tuple[list[Spent], ReadPosition]:
    """The tokens in the next `MAX_READ_BYTES` after `place`, and the position behind them; the same
    position if nothing could be read.
    """
    reading = (reader or TranscriptReader()).read(path, place.offset, inside=place.inside)
    if reading is None:
        return [], place
    recent, spent = dict(place.recent), list[Spent]()
    for entry in reading.entries:
        if entry.usage and (tokens := _added(entry.usage, recent)).total:
            spent.append(Spent(tokens, entry.at_ms))
    return spent, ReadPosition(reading.end, reading.inside, tuple(recent.items())[-RECENT:])


def _added(usage: Usage, recent: dict[str, Tokens]) -> Tokens:
    """The tokens that this line adds to the earlier lines of its answer, which are in `recent`."""
    before = recent.pop(usage.message, Tokens())
    pairs = zip(before.figures(), (*usage.counts, 1), strict=True)
    recent[usage.message] = after = Tokens(*map(max, pairs))
    return Tokens(
        *(now - then for now, then in zip(after.figures(), before.figures(), strict=True))
    )
