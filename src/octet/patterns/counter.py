"""Counters: whole numbers that many processes count up and some wait for.

    done = octet.counter("files:processed")
    done.incr()
    done.wait(3, wait_s=600)

A counter is a plain STRING, so INCR by redis-cli counts as well; a waiter sees that within 3 s.
"""

from __future__ import annotations

from collections.abc import Sequence

from octet.base.errors import NothingThere, StoreSpoiled, UsageError
from octet.patterns.values import check_key_name, ttl_ms, whole_number
from octet.store.scripts import Reply, Store
from octet.store.subscription import Subscription, wait_until


class Counter:
    """One counter. Every change renews its time to live: to `ttl_s` (`math.inf`: for ever), or by
    default to at least 24 h.

    A counter that redis-cli made has no expiry and gets one only by `ttl_s`.
    """

    def __init__(self, store: Store, name: str, ttl_s: float | None = None) -> None:
        self.name = check_key_name("counter", name)
        self._store = store
        self._ttl_ms = ttl_ms(ttl_s)
        self._key = store.keys.counter(name)

    def incr(self, by: int = 1) -> int:
        """Add; returns the sum. A missing counter is 0.

        Raises:
            UsageError: the sum needs more than 64 bits, or the counter holds no whole number.
        """
        reply = self._store.run("counter/add", name=self.name, ttl_ms=self._ttl_ms, by=_bounded(by))
        if reply[0] == Reply.NUMBER:
            raise UsageError(
                f"counter {self.name} holds {str(reply[1])[:40]!r}, to which {by} cannot be added"
            )
        return int(reply[1])

    def decr(self, by: int = 1) -> int:
        """Subtract; returns the difference. Raises as `incr`."""
        return self.incr(-by)

    def get(self) -> int:
        """The number; 0 for a missing counter.

        Raises:
            StoreSpoiled: the key holds no number.
        """
        with self._store.errors():
            text = self._store.client.get(self._key)
        found = whole_number(text or "0")
        if found is None:
            raise StoreSpoiled(
                f"counter {self.name} holds {text[:40]!r}, which is no whole number: set it again"
            )
        return found

    def set(self, value: int) -> None:
        """Set the number."""
        self._store.run("counter/set", name=self.name, ttl_ms=self._ttl_ms, value=_bounded(value))

    def reset(self) -> None:
        """Set it to 0."""
        self.set(0)

    def delete(self) -> bool:
        """Delete the counter; False if there was none."""
        with self._store.errors():
            return bool(self._store.client.unlink(self._key))

    def wait(self, until: int, *, wait_s: float) -> int:
        """Wait until the number has reached `until`, even for a moment; returns the number.

        Raises:
            NothingThere: the time is over.
        """
        last = 0

        def attempt(heard: Sequence[str]) -> int | None:
            nonlocal last
            last = self.get()
            # It may have been reached and reset since: each change is published with its number.
            told = [number for text in heard if (number := whole_number(text)) is not None]
            highest = max([last, *told])
            return highest if highest >= until else None

        found = wait_until(Subscription(self._store, self._key), attempt, wait_s)
        if found is None:
            raise NothingThere(
                f"counter {self.name} did not reach {until} within {wait_s:g} s: it is {last}"
            )
        return found


def _bounded(number: int) -> int:
    if not -(2**63) <= number < 2**63:
        raise UsageError(f"{number} needs more than 64 bits")
    return number
