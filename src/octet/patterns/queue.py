"""Work queues: each item is leased to one worker at a time, until one of them acknowledges it.

    queue = octet.queue("analysis")
    queue.push("src/app.ts", "src/utils.ts")
    item = queue.reserve(wait_s=60)
    queue.ack(item)

The items that were never leased are a plain LIST. When a lease runs out, by the server's clock,
the next `reserve` takes the item back; no daemon is needed. After its last delivery an item becomes
a dead letter.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from octet.base.errors import NothingThere, StaleToken, UsageError
from octet.base.process import host_id
from octet.base.text import plain
from octet.patterns.renewal import renewing
from octet.patterns.values import WORKER_PATTERN, check_key_name, decode, encode, span_ms, ttl_ms
from octet.store.scripts import Reply, Store, Value, as_mapping
from octet.store.subscription import LOOK_EVERY_S, Subscription, wait_until

LEASE_S = 300.0
MAX_DELIVERIES = 5
MAX_VALUES = 10_000
MAX_PUSHED = 16 * 1024 * 1024
_RECORD = re.compile(r"(\d+) (\d+) (\d+) (\S+)\n([^\n]*)\n(.*)", re.DOTALL)
# The server rounds times to ms: an attempt for an item that is due must not come before that.
_AFTER_S = 0.002


@dataclass(frozen=True)
class Item:
    """An item that was leased to a worker."""

    queue: str
    token: str  # to be shown when it is acknowledged
    value: Any
    deliveries: int = 1  # the delivery count
    until_ms: int = 0  # the end of the lease, server time


@dataclass(frozen=True)
class Kept:
    """An item that was leased at least once. Times are server time."""

    token: str  # of its last delivery
    value: Any
    deliveries: int
    worker: str  # that had it last
    since_ms: int  # when that worker got it
    at_ms: int  # the end of its lease, of its delay, or when it became a dead letter
    reason: str  # why it was returned


@dataclass(frozen=True)
class Stats:
    """A queue's items by state now, and what happened to all items that it ever had."""

    ready: int  # never leased
    leased: int
    expired: int  # of the leased: their lease has run out
    returned: int  # to be leased again, perhaps after a delay
    dead: int  # dead letters
    pushed: int  # ever pushed, as are the next four
    given: int
    done: int
    came_back: int
    died: int

    @property
    def waiting(self) -> int:
        """The number of items that a worker could lease, now or after a delay."""
        return self.ready + self.returned + self.expired

    @property
    def left(self) -> int:
        """The number of unfinished items; dead letters do not count."""
        return self.ready + self.leased + self.returned


class Queue:
    """One work queue. Every use renews its time to live: to `ttl_s` (`math.inf`: for ever), or by
    default to at least 24 h.
    """

    def __init__(self, store: Store, name: str, ttl_s: float | None = None) -> None:
        self.name = check_key_name("queue", name)
        self._store = store
        self._ttl_ms = ttl_ms(ttl_s)
        keys = store.keys
        self._key, self._items = keys.queue(name), keys.queue_items(name)
        self._leased, self._returned = keys.queue_leased(name), keys.queue_returned(name)
        self._dead = keys.queue_dead(name)
        stats = keys.queue_stats(name)
        self.keys = (self._key, self._leased, self._returned, self._items, self._dead, stats)

    def push(self, *values: Any) -> int:
        """Append values, all in one step; returns the number of items that are ready.

        Raises:
            UsageError: a value is no JSON or larger than 64 KiB, or there are more than 10,000 of
                them or 16 MiB.
        """
        texts = [encode(value) for value in values]
        if not 0 < len(texts) <= MAX_VALUES or sum(map(len, texts)) > MAX_PUSHED:
            raise UsageError(
                f"push 1 to {MAX_VALUES} values at once, of {MAX_PUSHED} bytes together at most"
            )
        return int(self._run("queue/push", values=texts)[1])

    def reserve(
        self,
        *,
        wait_s: float = 0.0,
        lease_s: float = LEASE_S,
        max_deliveries: int = MAX_DELIVERIES,
        worker: str | None = None,
    ) -> Item:
        """Lease the next item to this worker alone, until it is acknowledged or the lease runs out.

        Args:
            wait_s: how long to wait for an item.
            lease_s: how long the lease lasts; `extend` renews it.
            max_deliveries: an item that is returned after so many deliveries is a dead letter.
            worker: the worker's name, for people; default: machine and process.

        Raises:
            NothingThere: there is no item.
        """
        return self._next(span_ms("a lease", lease_s), wait_s, max_deliveries, worker)

    def pop(self, *, wait_s: float = 0.0) -> Any:
        """Remove the next item and return its value. A worker that dies with it loses it.

        Raises:
            NothingThere: there is no item.
        """
        return self._next(0, wait_s, MAX_DELIVERIES, None).value

    @contextmanager
    def working(
        self, *, wait_s: float = 0.0, lease_s: float = 60.0, max_deliveries: int = MAX_DELIVERIES
    ) -> Iterator[Item]:
        """Lease the next item while the block runs: acknowledged at its end, returned if it raises.

        Raises:
            NothingThere: there is no item.
            StaleToken: the lease was lost, and another worker has the item.
        """
        item = self.reserve(wait_s=wait_s, lease_s=lease_s, max_deliveries=max_deliveries)
        try:
            with self.renewing(item, lease_s):
                yield item
        except BaseException as error:
            self.nack(item, reason=f"{type(error).__name__}: {error}")
            raise
        self.ack(item)

    def renewing(self, item: Item, lease_s: float) -> AbstractContextManager[None]:
        """Renew an item's lease while the block runs."""
        return renewing(lambda: self.extend(item, lease_s), lease_s, f"queue {self.name}")

    def ack(self, item: Item | str) -> int:
        """Acknowledge an item: it is done. Returns the number of unfinished items. An expired lease
        is good until another worker has the item.

        Raises:
            StaleToken: another worker has the item, or it is done; nothing was changed.
        """
        return int(self._settle("queue/ack", item)[1])

    def nack(
        self, item: Item | str, *, delay_s: float = 0.0, reason: str = "", dead: bool = False
    ) -> bool:
        """Return an item, to be the next after `delay_s`. False if it is a dead letter: after its
        last delivery, or with `dead`.

        Raises:
            StaleToken: as `ack`.
        """
        delay_ms = span_ms("a delay", delay_s, least_ms=0)
        reply = self._settle(
            "queue/nack",
            item,
            delay_ms=delay_ms,
            reason=plain(reason, 500),
            dead="dead" if dead else "",
        )
        return bool(reply[1] == "returned")

    def extend(self, item: Item | str, lease_s: float = LEASE_S) -> int:
        """Let the item's lease end `lease_s` seconds from now; returns that time, server ms.

        Raises:
            StaleToken: as `ack`.
        """
        return int(self._settle("queue/extend", item, lease_ms=span_ms("a lease", lease_s))[1])

    def stats(self) -> Stats:
        """The queue's numbers at one instant."""
        reply = self._store.run("queue/stats", queue=self.name)
        ever = as_mapping(reply[6])
        counts = [
            int(text) if (text := ever.get(name, "")).isdecimal() else 0
            for name in ("pushed", "given", "done", "returned", "died")
        ]
        return Stats(*map(int, reply[1:6]), *counts)

    def peek(self, count: int = 10) -> list[Any]:
        """The next values among those that have never been leased."""
        with self._store.errors():
            texts = self._store.client.lrange(self._key, -count, -1) if count > 0 else []
        return [decode(text) for text in reversed(texts)]

    def leased(self) -> list[Kept]:
        """The leased items, the lease that ends first in front."""
        return self._kept(self._leased)

    def returned(self) -> list[Kept]:
        """The returned items, which will be leased again."""
        return self._kept(self._returned)

    def dead(self) -> list[Kept]:
        """The dead letters, oldest first."""
        return self._kept(self._dead)

    def revive(self, tokens: Sequence[str] | None = None) -> int:
        """Push dead letters again as new items, all by default; returns their number."""
        chosen = [kept.token for kept in self.dead()] if tokens is None else list(tokens)
        return sum(
            len(self._run("queue/revive", tokens=chosen[i : i + 1000])) - 1
            for i in range(0, len(chosen), 1000)
        )

    def wait_drained(self, wait_s: float) -> None:
        """Wait until every item is done or a dead letter.

        Raises:
            NothingThere: the time is over.
        """
        left = 0

        def attempt(_: Sequence[str]) -> bool | None:
            nonlocal left
            left = self.stats().left
            return True if not left else None

        if not wait_until(Subscription(self._store, self._key), attempt, wait_s):
            raise NothingThere(f"queue {self.name} has {left} items left after {wait_s:g} s")

    def delete(self) -> bool:
        """Delete the queue and its items; False if there was none."""
        with self._store.errors():
            return bool(self._store.client.unlink(*self.keys))

    def _next(self, lease_ms: int, wait_s: float, max_deliveries: int, worker: str | None) -> Item:
        worker = worker or f"{host_id()}:{os.getpid()}"
        if not WORKER_PATTERN.fullmatch(worker) or max_deliveries < 1:
            raise UsageError(
                f"a worker is one word and has 1 delivery or more, not {worker[:80]!r} and "
                f"{max_deliveries}"
            )
        back_s = LOOK_EVERY_S

        def attempt(_: Sequence[str]) -> Item | None:
            nonlocal back_s
            reply = self._run(
                "queue/reserve", worker=worker, lease_ms=lease_ms, max_deliveries=max_deliveries
            )
            if reply[0] == Reply.EMPTY:
                back_s = (
                    LOOK_EVERY_S if reply[1] < 0 else min(LOOK_EVERY_S, reply[1] / 1000 + _AFTER_S)
                )
                return None
            return Item(self.name, reply[1], decode(reply[2]), int(reply[3]), int(reply[4]))

        found = wait_until(
            Subscription(self._store, self._key), attempt, wait_s, look_s=lambda: back_s
        )
        if found is None:
            within = f" within {wait_s:g} s" if wait_s else ""
            raise NothingThere(f"queue {self.name} has no item{within}")
        return found

    def _settle(self, script: str, item: Item | str, **values: Value) -> list[Any]:
        token = item.token if isinstance(item, Item) else item
        return self.checked(self._run(script, token=token, **values), token)

    def checked(self, reply: list[Any], token: str) -> list[Any]:
        """The reply of a script that was shown a token.

        Raises:
            StaleToken: the token is not in force.
        """
        if reply[0] == Reply.STALE:
            raise StaleToken(
                f"token {token[:40]} of queue {self.name} is not in force: its item is done, was "
                "returned, or another worker has it"
            )
        return reply

    def _run(self, script: str, **values: Value) -> list[Any]:
        return self._store.run(script, queue=self.name, ttl_ms=self._ttl_ms, **values)

    def _kept(self, key: str) -> list[Kept]:
        with self._store.errors():
            scores = self._store.client.zrange(key, 0, -1, withscores=True)
            records = (
                self._store.client.hmget(self._items, [token for token, _ in scores])
                if scores
                else []
            )
        pairs = [
            (token, at_ms, _RECORD.fullmatch(record or ""))
            for (token, at_ms), record in zip(scores, records, strict=True)
        ]
        return [_kept(token, at_ms, match) for token, at_ms, match in pairs if match]


def _kept(token: str, at_ms: float, record: re.Match[str]) -> Kept:
    deliveries, _, since_ms, worker, reason, value = record.groups()
    return Kept(token, decode(value), int(deliveries), worker, int(since_ms), int(at_ms), reason)
