"""Work queues: what is pushed is given to one worker at a time, under a lease, until one says that
it is done.

queue = octet.queue("analysis")
queue.push("src/app.ts", "src/utils.ts")
item = queue.reserve(wait_s=60)
queue.ack(item)

The items that nobody was given yet are a plain LIST. A worker that dies gives its item back when
its lease runs out: the next `reserve` sees that, by the server's clock, and no daemon is needed.
After its last delivery an item becomes a dead letter.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from octet.base.errors import NothingThere, StaleToken, UsageError
from octet.base.process import host_id
from octet.base.text import plain
from octet.base.threads import in_thread
from octet.patterns.renewal import renewing
from octet.patterns.values import WORKER_PATTERN, check_name, decode, encode, span_ms, ttl_ms
from octet.store.scripts import Reply, Store, Value, as_mapping
from octet.store.subscription import LOOK_EVERY_S, Wakeups, wait_until

LEASE_S = 300.0
MAX_DELIVERIES = 5
MAX_VALUES = 10_000
MAX_PUSHED = 16 * 1024 * 1024
_RECORD = re.compile(r"(\d+) (\d+) (\d+) (\S+)\n([^\n]*)\n(.*)", re.DOTALL)
# A look at what is due must not come before it is.
_AFTER_S = 0.002


@dataclass(frozen=True)
class Item:
    """What a worker was given: the value, the token to show for it, the how-manieth delivery this
    is, when the lease ends (server time).
    """

    queue: str
    token: str
    value: Any
    deliveries: int = 1
    until_ms: int = 0


@dataclass(frozen=True)
class Kept:
    """An item that was given out at least once: `at_ms` is the lease's end, or when it is given out
    again, or when it died.

    `worker` had it last, since `since_ms`; `reason` says why it came back before.
    """

    token: str
    value: Any
    deliveries: int
    worker: str
    since_ms: int
    at_ms: int
    reason: str


@dataclass(frozen=True)
class Stats:
    """How a queue stands; `expired` of the leased ones have run out. The last five count all that
    ever happened.
    """

    ready: int
    leased: int
    expired: int
    returned: int
    dead: int
    pushed: int
    given: int
    done: int
    came_back: int
    died: int

    @property
    def waiting(self) -> int:
        """How many a worker could be given, now or after a delay."""
        return self.ready + self.returned + self.expired

    @property
    def left(self) -> int:
        """How many are not done yet; dead letters are not among them."""
        return self.ready + self.leased + self.returned


class Queue:
    """One work queue. Every use renews its time to live: by default to 24 h at least, with `ttl_s`
    to that (`math.inf`: for ever).
    """

    def __init__(self, store: Store, name: str, ttl_s: float | None = None) -> None:
        self.name = check_name("queue", name)
        self._store = store
        self._ttl_ms = ttl_ms(ttl_s)
        make = store.keys
        self._key = make.queue(name)
        self._leased, self._returned, self._dead = (
            make.queue_leased(name),
            make.queue_returned(name),
            make.queue_dead(name),
        )
        self._items = make.queue_items(name)
        self._keys = [
            self._key,
            self._leased,
            self._returned,
            self._items,
            self._dead,
            make.queue_stats(name),
        ]

    def push(self, *values: Any) -> int:
        """Put values at the end, all in one step; returns how many are ready now.

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
        """The next item, for this worker alone until it is acknowledged or its lease runs out.

        Args:
            wait_s: how long to wait for one.
            lease_s: how long nobody else is given it; `extend` lengthens that.
            max_deliveries: when it comes back after this one, it becomes a dead letter if it was
                given out so often.
            worker: who has it, for people; default: machine and process.

        Raises:
            NothingThere: there is none.
        """
        return self._next(span_ms("a lease", lease_s), wait_s, max_deliveries, worker, None)

    async def reserve_async(
        self,
        *,
        wait_s: float,
        lease_s: float = LEASE_S,
        max_deliveries: int = MAX_DELIVERIES,
        worker: str | None = None,
    ) -> Item:
        """Like `reserve`; an item that comes when the waiting task was cancelled goes back."""
        lease_ms = span_ms("a lease", lease_s)
        return await in_thread(
            lambda stop: self._next(lease_ms, wait_s, max_deliveries, worker, stop), undo=self.nack
        )

    def pop(self, *, wait_s: float = 0.0) -> Any:
        """The next item's value, which is gone with whoever took it: for work whose loss does no
        harm.

        Raises:
            NothingThere: there is none.
        """
        return self._next(0, wait_s, MAX_DELIVERIES, None, None).value

    @contextmanager
    def working(
        self, *, wait_s: float = 0.0, lease_s: float = 60.0, max_deliveries: int = MAX_DELIVERIES
    ) -> Iterator[Item]:
        """The next item, its lease renewed while the block works, done at its end, given back if it
        raises.

        Raises:
            NothingThere: there is none.
            StaleToken: the lease was lost meanwhile, and somebody else has the item.
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
        """Renew an item's lease while the block works."""
        return renewing(lambda: self.extend(item, lease_s), lease_s, f"queue {self.name}")

    def ack(self, item: Item | str) -> int:
        """The item is done; returns how many are left. A lease that has run out counts until
        somebody else has the item.

        Raises:
            StaleToken: the item went on to somebody else, or is done; nothing was changed.
        """
        return int(self._settle("queue/ack", item)[1])

    def nack(
        self, item: Item | str, *, delay_s: float = 0.0, reason: str = "", dead: bool = False
    ) -> bool:
        """Give the item back, to be the next after `delay_s`; returns whether it is: after its last
        delivery, or with `dead`, it is none.

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
        """The lease ends in `lease_s` seconds from now; returns when that is, in ms of server time.

        Raises:
            StaleToken: as `ack`.
        """
        return int(self._settle("queue/extend", item, lease_ms=span_ms("a lease", lease_s))[1])

    def stats(self) -> Stats:
        """How the queue stands, at one instant."""
        reply = self._store.run("queue/stats", queue=self.name)
        ever = as_mapping(reply[6])
        counts = [
            int(text) if (text := ever.get(name, "")).isdecimal() else 0
            for name in ("pushed", "given", "done", "returned", "died")
        ]
        return Stats(*map(int, reply[1:6]), *counts)

    def peek(self, count: int = 10) -> list[Any]:
        """The values that are next, of those that nobody was given yet."""
        with self._store.errors():
            texts = self._store.client.lrange(self._key, -count, -1) if count > 0 else []
        return [decode(text) for text in reversed(texts)]

    def leased(self) -> list[Kept]:
        """What workers have, the lease that ends first in front."""
        return self._kept(self._leased)

    def returned(self) -> list[Kept]:
        """What came back and will be given out again."""
        return self._kept(self._returned)

    def dead(self) -> list[Kept]:
        """The dead letters, oldest first."""
        return self._kept(self._dead)

    def revive(self, tokens: Sequence[str] | None = None) -> int:
        """Push dead letters again as if they were new, all by default; returns how many."""
        chosen = [kept.token for kept in self.dead()] if tokens is None else list(tokens)
        return sum(
            len(self._run("queue/revive", tokens=chosen[i : i + 1000])) - 1
            for i in range(0, len(chosen), 1000)
        )

    def wait_drained(self, wait_s: float) -> None:
        """Wait until every item is done or a dead letter; right away where that is so already.

        Raises:
            NothingThere: the time is over before.
        """
        self._drained(wait_s, None)

    async def wait_drained_async(self, wait_s: float) -> None:
        """Like `wait_drained`."""
        await in_thread(lambda stop: self._drained(wait_s, stop))

    def delete(self) -> bool:
        """Delete the queue with all that is in it; whether there was one."""
        with self._store.errors():
            return bool(self._store.client.unlink(*self._keys))

    def _next(
        self,
        lease_ms: int,
        wait_s: float,
        max_deliveries: int,
        worker: str | None,
        stop: threading.Event | None,
    ) -> Item:
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
            Wakeups(self._store, self._key, stop=stop), attempt, wait_s, look_s=lambda: back_s
        )
        if found is None:
            raise NothingThere(
                f"queue {self.name} has nothing to give "
                f"out{f' within {wait_s:g} s' if wait_s else ''}"
            )
        return found

    def _drained(self, wait_s: float, stop: threading.Event | None) -> None:
        left = 0

        def attempt(_: Sequence[str]) -> bool | None:
            nonlocal left
            left = self.stats().left
            return True if not left else None

        if not wait_until(Wakeups(self._store, self._key, stop=stop), attempt, wait_s):
            raise NothingThere(f"queue {self.name} has {left} items left after {wait_s:g} s")

    def _settle(self, script: str, item: Item | str, **values: Value) -> list[Any]:
        token = item.token if isinstance(item, Item) else item
        return self.checked(self._run(script, token=token, **values), token)

    def checked(self, reply: list[Any], token: str) -> list[Any]:
        """The reply of a script that was shown a token.

        Raises:
            StaleToken: it is not in force.
        """
        if reply[0] == Reply.STALE:
            raise StaleToken(
                f"token {token[:40]} of queue {self.name} is not in force: its item is done, "
                "went back, or somebody else has it"
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
