"""Progress of a piece of work: how much is done, and when the rest will be.

    progress = octet.progress("analysis")
    progress.set(0, total=300)
    progress.add(10)
    progress.read().percent

It is a plain HASH, so that `HINCRBY … current 10` by redis-cli counts as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from octet.base.errors import NothingThere, UsageError
from octet.base.text import plain
from octet.patterns.values import check_key_name, ttl_ms, whole_number
from octet.store.scripts import Reply, Store, as_mapping
from octet.store.subscription import Subscription, wait_until

MAX_NUMBER = 2**53
MAX_NOTE = 200


@dataclass(frozen=True)
class Reading:
    """Progress at one instant. Times are server time."""

    name: str
    current: int
    total: int | None  # None: not known
    started_ms: int
    updated_ms: int
    base: int = 0  # `current` at the start
    note: str = ""

    @property
    def percent(self) -> float | None:
        """How much of the total is done, 0 to 100; None without a total."""
        return None if not self.total else max(0.0, min(100.0, 100 * self.current / self.total))

    @property
    def done(self) -> bool:
        """Whether the total is reached."""
        return self.total is not None and self.current >= self.total

    @property
    def rate(self) -> float | None:
        """The work done per second since the start; None: not known."""
        seconds = (self.updated_ms - self.started_ms) / 1000
        return (
            (self.current - self.base) / seconds
            if seconds > 0 and self.current > self.base
            else None
        )

    @property
    def eta_s(self) -> float | None:
        """How long the rest takes from the last change on, at the present rate; None: not known."""
        if self.total is None:
            return None
        return 0.0 if self.done else (self.total - self.current) / self.rate if self.rate else None


class Progress:
    """One progress. Every change renews its time to live: to `ttl_s` (`math.inf`: for ever), or by
    default to at least 24 h.
    """

    def __init__(self, store: Store, name: str, ttl_s: float | None = None) -> None:
        self.name = check_key_name("progress", name)
        self._store = store
        self._ttl_ms = ttl_ms(ttl_s)
        self._key = store.keys.progress(name)

    def set(self, current: int, *, total: int | None = None, note: str = "") -> Reading:
        """Set the amount that is done, and the total if given. Setting it back restarts the rate.

        Raises:
            UsageError: a number is negative or larger than 2^53.
        """
        return self._change("to", current, total, note)

    def add(self, by: int = 1, *, total: int | None = None, note: str = "") -> Reading:
        """Add to the amount that is done. Raises as `set`."""
        return self._change("by", by, total, note)

    def read(self) -> Reading:
        """The progress now.

        Raises:
            NothingThere: there is none.
        """
        with self._store.errors():
            fields = self._store.client.hgetall(self._key)
        if not fields:
            raise NothingThere(f"there is no progress {self.name}")
        return _reading(self.name, fields)

    def watch(self, timeout_s: float | None = None) -> Iterator[Reading]:
        """The progress now and at each change, until done, or `timeout_s` without a change."""
        last: Reading | None = None
        while found := self._after(last, 1e9 if timeout_s is None else timeout_s):
            yield found
            if found.done:
                return
            last = found

    def wait(self, *, wait_s: float) -> Reading:
        """Wait until the work is done.

        Raises:
            NothingThere: the time is over.
        """
        last = "nothing was reported"

        def attempt(_: Sequence[str]) -> Reading | None:
            nonlocal last
            try:
                found = self.read()
            except NothingThere:
                return None
            last = f"{found.current} of {'?' if found.total is None else found.total}"
            return found if found.done else None

        found = wait_until(Subscription(self._store, self._key), attempt, wait_s)
        if found is None:
            raise NothingThere(f"progress {self.name} is not done within {wait_s:g} s: {last}")
        return found

    def delete(self) -> bool:
        """Delete it; False if there was none."""
        with self._store.errors():
            return bool(self._store.client.unlink(self._key))

    def _change(self, how: str, number: int, total: int | None, note: str) -> Reading:
        if (
            not -MAX_NUMBER <= number <= MAX_NUMBER
            or (how == "to" and number < 0)
            or not 0 <= (total or 0) <= MAX_NUMBER
        ):
            raise UsageError(
                f"progress is a whole number, 0 to {MAX_NUMBER}: not {number} of {total}"
            )
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

    def _after(self, last: Reading | None, wait_s: float) -> Reading | None:
        def attempt(_: Sequence[str]) -> Reading | None:
            found = self.read()
            return found if found != last else None

        return wait_until(Subscription(self._store, self._key), attempt, wait_s)


def _reading(name: str, fields: Mapping[str, str]) -> Reading:
    """The progress of a HASH; a number that was spoiled by hand is 0."""
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
