"""The tokens that a transcript says were used.

An answer of the model is written as a line for each of its blocks, which share the message's id and
repeat its usage: it counts once, with the largest figures. A forked session begins with copies of
another's lines, which name that session in `requestSessionId` and count there. A sub-agent has a file
of its own, `<session>/subagents/agent-<id>.jsonl`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from octet.core.usage.transcript_reader import TranscriptReader, Usage, find_end
from octet.store.scripts import from_json, to_json

# Lines of one message stand close together: of this many messages before the place it is kept what
# was counted.
RECENT = 32


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
    return ReadPosition(*find_end(path))


def read(
    path: Path, place: ReadPosition, reader: TranscriptReader | None = None
) -> tuple[list[Spent], ReadPosition]:
    """What was used since `place`, as far as `MAX_READ_BYTES` go, and the place after it; the same
    place again where nothing could be read.
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
    """What this line of an answer adds to its lines before, which are in `recent`."""
    before = recent.pop(usage.message, Tokens())
    pairs = zip(before.figures(), (*usage.counts, 1), strict=True)
    recent[usage.message] = after = Tokens(*map(max, pairs))
    return Tokens(
        *(now - then for now, then in zip(after.figures(), before.figures(), strict=True))
    )
