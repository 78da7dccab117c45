"""Reads the log of events onwards from a position: each entry once, in order, and the number of
those that were trimmed before they could be read.

The log keeps about the last 10,000 entries, so a reader that was away for longer finds a gap. Its
width follows from the number of entries ever added, which the server counts from Redis 7.0 on;
before that, it is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from octet.store.scripts import Store

READ_AT_ONCE = 1000
BEGINNING = "0-0"

# An entry as the server has it: id, and a flat list of fields and values.
Entry = tuple[str, Sequence[str]]


class LogReader:
    """One reader's position in a project's log: `last`, the id before the next entry."""

    def __init__(self, store: Store, last: str | None = None) -> None:
        """Begin behind the entry `last`; by default behind the newest one."""
        self._store = store
        self._index: int | None = None  # how many entries had been added up to `last`
        self._own = last is None  # whether `last` is an id that the log has had
        self.last = last or BEGINNING
        if last is None:
            _, added, _, _, newest, *_ = self._ask(self.last, 1)
            self.last, self._index = newest or BEGINNING, _number(added)

    def read(self) -> tuple[list[Entry], int | None]:
        """The next entries, and how many before them were trimmed unread (None: not known)."""
        _, added, length, first, newest, *entries = self._ask(self.last, READ_AT_ONCE)
        trimmed: int | None = 0
        if entries:
            trimmed = self._move(_number(added), int(length), first, entries)
        elif newest == self.last:
            self._index = _number(added)
        elif self._own and newest and _order(newest) < _order(self.last):
            # The server came back with an older log: its new entries may have ids that were seen
            # before.
            self.last, self._index, trimmed = newest, _number(added), None
        return [(str(entry_id), fields) for entry_id, fields in entries], trimmed

    def _move(
        self, added: int | None, length: int, first: str, entries: Sequence[Entry]
    ) -> int | None:
        gone = None if added is None else added - length
        from_first = _order(first) > _order(self.last)
        trimmed = self._trimmed(gone) if from_first else 0
        if from_first:
            self._index = None if gone is None else gone + len(entries)
        elif self._index is not None:
            self._index += len(entries)
        elif len(entries) < READ_AT_ONCE:
            self._index = added
        self.last, self._own = str(entries[-1][0]), True
        return trimmed

    def _trimmed(self, gone: int | None) -> int | None:
        """The number of entries missing between `last` and the log's first; 0 for a reader that
        began at the beginning and has read nothing.
        """
        if (self.last == BEGINNING and not self._own) or (gone == 0 and self._index in (None, 0)):
            return 0
        if gone is None or self._index is None or gone < self._index:
            return None
        return gone - self._index

    def _ask(self, last: str, count: int) -> list[Any]:
        return self._store.run("event/read_log", last=last, max_entries=count)


def _order(entry_id: str) -> tuple[int, int]:
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number or 0)


def _number(added: Any) -> int | None:
    return int(added) if isinstance(added, int) else None
