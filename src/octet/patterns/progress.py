"""How far a piece of work is, and when it will be done.

progress = octet.progress("analysis")
progress.set(0, total=300)
progress.add(10)
progress.read().percent

It is a plain HASH, so that `HINCRBY … current 10` by redis-cli counts as well.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from octet.base.errors import NothingThere, UsageError
from octet.base.text import plain
from octet.base.threads import in_thread, iterate_in_thread
from octet.patterns.values import check_name, ttl_ms, whole_number
from octet.store.scripts import Reply, Store, as_mapping
from octet.store.subscription import Wakeups, wait_until

MOST = 2**53
MAX_NOTE = 200


@dataclass(frozen=True)
class Reading:
    """How far a piece of work is: `rate` is per second since it began (ms of server time), `eta_s`
    for what is left; None: not known.
    """

    name: str
    current: int
    total: int | None
    started_ms: int
    updated_ms: int
    base: int = 0
    note: str = ""

    @property
    def percent(self) -> float | None:
        """Of the total, 0 to 100."""
        return None if not self.total else max(0.0, min(100.0, 100 * self.current / self.total))

    @property
    def done(self) -> bool:
        """Whether the total is reached."""
        return self.total is not None and self.current >= self.total

    @property
    def rate(self) -> float | None:
        """How many a second."""
        seconds = (self.updated_ms - self.started_ms) / 1000
        return (
            (self.current - self.base) / seconds
            if seconds > 0 and self.current > self.base
            else None
        )

    @property
    def eta_s(self) -> float | None:
        """How long the rest takes, from the last change on, if it goes on as it did."""
        if self.total is None:
            return None
        return 0.0 if self.done else (self.total - self.current) / self.rate if self.rate else None


class Progress:
    """One progress. Every change renews its time to live: by default to 24 h at least, with `ttl_s`
    to that (`math.inf`: for ever).
    """

    def __init__(self, store: Store, name: str, ttl_s: float | None = None) -> None:
        self.name = check_name("progress", name)
        self._store = store
        self._ttl_ms = ttl_ms(ttl_s)
        self._key = store.keys.progress(name)

    def set(self, current: int, *, total: int | None = None, note: str = "") -> Reading:
        """The work is so far, of `total` if that is given; the rate is counted anew where it is set
        back.

        Raises:
            UsageError: a number is negative or larger than 2^53.
        """
        return self._change("to", current, total, note)

    def add(self, by: int = 1, *, total: int | None = None, note: str = "") -> Reading:
        """The work is so much further."""
        return self._change("by", by, total, note)

    def read(self) -> Reading:
        """How far it is.

        Raises:
            NothingThere: nobody has said.
        """
        with self._store.errors():
            fields = self._store.client.hgetall(self._key)
        if not fields:
            raise NothingThere(f"there is no progress {self.name}")
        return _reading(self.name, fields)

    def watch(self, timeout_s: float | None = None) -> Iterator[Reading]:
        """How it is, at once and at each change, until it is done; ends after `timeout_s` without a
        change, or never.
        """
        return self._watch(timeout_s, None)

    def watch_async(self, timeout_s: float | None = None) -> AsyncIterator[Reading]:
        """Like `watch`."""
        return iterate_in_thread(lambda stop: self._watch(timeout_s, stop))

    def wait(self, *, wait_s: float) -> Reading:
        """Wait until it is done.

        Raises:
            NothingThere: the time is over before.
        """
        return self._wait(wait_s, None)

    async def wait_async(self, *, wait_s: float) -> Reading:
        """Like `wait`."""
        return await in_thread(lambda stop: self._wait(wait_s, stop))

    def delete(self) -> bool:
        """Delete it; whether there was one."""
        with self._store.errors():
            return bool(self._store.client.unlink(self._key))

    def _change(self, how: str, number: int, total: int | None, note: str) -> Reading:
        if (
            not -MOST <= number <= MOST
            or (how == "to" and number < 0)
            or not 0 <= (total or 0) <= MOST
        ):
            raise UsageError(f"progress is a whole number, 0 to {MOST}: not {number} of {total}")
        reply = self._store.run(
            "progress/set",
            name=self.name,
            ttl_ms=self._ttl_ms,
            number=number,
            how=how,
            total="" if total is None else total,
            note=plain(note, MAX_NOTE),
        )
        if reply[0] == Reply.NUMBER:
            raise UsageError(
                f"progress {self.name} holds {str(reply[1])[:40]!r}, to which {number} "
                "cannot be added"
            )
        return _reading(self.name, as_mapping(reply[1:]))

    def _watch(self, timeout_s: float | None, stop: threading.Event | None) -> Iterator[Reading]:
        last: Reading | None = None
        while not (stop and stop.is_set()):
            found = self._after(last, 1e9 if timeout_s is None else timeout_s, stop)
            if found is None:
                return
            yield found
            if found.done:
                return
            last = found

    def _after(
        self, last: Reading | None, wait_s: float, stop: threading.Event | None
    ) -> Reading | None:
        def attempt(_: Sequence[str]) -> Reading | None:
            found = self.read()
            return found if found != last else None

        return wait_until(Wakeups(self._store, self._key, stop=stop), attempt, wait_s)

    def _wait(self, wait_s: float, stop: threading.Event | None) -> Reading:
        last: list[str] = ["nobody has said how far it is"]

        def attempt(_: Sequence[str]) -> Reading | None:
            try:
                found = self.read()
            except NothingThere:
                return None
            last[0] = f"{found.current} of {'?' if found.total is None else found.total}"
            return found if found.done else None

        found = wait_until(Wakeups(self._store, self._key, stop=stop), attempt, wait_s)
        if found is None:
            raise NothingThere(f"progress {self.name} is not done within {wait_s:g} s: {last[0]}")
        return found


def _reading(name: str, fields: Mapping[str, str]) -> Reading:
    """What the HASH says; what was spoiled by hand is 0."""
    current, started_ms, updated_ms, base = (
        _number(fields.get(key)) or 0 for key in ("current", "started_ms", "updated_ms", "base")
    )
    return Reading(
        name,
        current,
        _number(fields.get("total")),
        started_ms,
        updated_ms,
        base,
        fields.get("note", ""),
    )


def _number(text: str | None) -> int | None:
    return whole_number(text or "")
