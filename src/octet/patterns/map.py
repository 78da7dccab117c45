"""Maps: many items, each done by one of many workers, and their results collected.

    analysis = octet.map("analysis")
    results = analysis.run(["src/app.ts", "src/utils.ts"], count_lines, workers=3)

or, in several processes, on several machines:

    analysis.start(files)                                       # one process
    item = analysis.take(); analysis.done(item, {"lines": 9})   # each worker, or `analysis.work(…)`
    results = analysis.wait(wait_s=600)                         # one process

The items are in the work queue `map:<name>`, so a dead worker's item is leased again, and a failed
item is a dead letter there. Each item is there once: starting the same items again goes on with
those that have no result.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from octet.base.errors import CommandFailed, NothingThere, StaleToken, UsageError
from octet.base.text import plain
from octet.patterns.errors import Errors
from octet.patterns.item_commands import ItemCommand
from octet.patterns.progress import Reading
from octet.patterns.queue import (
    LEASE_S,
    MAX_DELIVERIES,
    MAX_PUSHED,
    MAX_VALUES,
    Item,
    Kept,
    Queue,
)
from octet.patterns.values import check_key_name, decode, encode, ttl_ms, whole_number
from octet.store.scripts import Store, Value
from octet.store.subscription import Subscription, wait_until

MAX_WORKERS = 64
WORK_LEASE_S = 30.0
FOREVER_S = 1e9
_RECORD = re.compile(r"(\d{1,15})(?: (\d{1,15}) (\S+)\n(.*))?", re.DOTALL)


@dataclass(frozen=True)
class ItemResult:
    """The result of an item, or its error."""

    item: Any
    value: Any = None
    error: str | None = None  # None: it is done
    worker: str = ""  # that had it last
    at_ms: int = 0  # server time


@dataclass(frozen=True)
class Tally:
    """A map's items by state. Times are server time."""

    total: int
    done: int
    failed: int
    ready: int  # a worker could lease them, now or after a delay
    leased: int
    started_ms: int
    at_ms: int  # of the last result

    @property
    def left(self) -> int:
        """The number of items with neither result nor error."""
        return self.ready + self.leased


class Map:
    """One map. Every use renews its time to live: to `ttl_s` (`math.inf`: for ever), or by default
    to at least 24 h.
    """

    def __init__(self, store: Store, name: str, ttl_s: float | None = None) -> None:
        self.name = check_key_name("map", name)
        self.queue = Queue(store, f"map:{name}", ttl_s)
        self.errors = Errors(store, name, ttl_s)
        self._store = store
        self._ttl_ms = ttl_ms(ttl_s)
        keys = store.keys
        self._key = keys.map(name)
        self._channels = (keys.queue(self.queue.name), keys.errors(name), self._key)
        self._error_keys = (keys.errors(name), keys.errors_policy(name))

    def start(self, items: Iterable[Any]) -> int:
        """Add items, all in one step; returns the number of new ones. An item that is there already
        is skipped, done or not.

        Raises:
            UsageError: there are none, or more than 10,000 or 16 MiB of them, or one is no JSON or
                larger than 64 KiB.
        """
        texts = [encode(item) for item in items]
        if not 0 < len(texts) <= MAX_VALUES or sum(map(len, texts)) > MAX_PUSHED:
            raise UsageError(
                f"start a map with 1 to {MAX_VALUES} items at once, of {MAX_PUSHED} bytes "
                "together at most"
            )
        return int(self._run("map/start", items=texts)[1])

    def take(
        self,
        *,
        wait_s: float = 0.0,
        lease_s: float = LEASE_S,
        max_deliveries: int = MAX_DELIVERIES,
        worker: str | None = None,
    ) -> Item:
        """Lease the next item to this worker alone, until it is done or failed or the lease runs
        out; arguments as `Queue.reserve`. Waits while a leased item may be returned.

        Raises:
            Stopped: the errors of the same name stop the work.
            NothingThere: every item has its result or error, or none is free within `wait_s`.
        """
        return self._take(wait_s, lease_s, max_deliveries, worker, None)

    def done(self, item: Item | str, result: Any = None) -> int:
        """Store the item's result, which ends it; returns the number of items left.

        Raises:
            StaleToken: another worker has the item, or it is done; nothing was changed.
            UsageError: the result is no JSON or larger than 64 KiB.
        """
        token = item.token if isinstance(item, Item) else item
        reply = self._run("map/done", token=token, result=encode(result))
        return int(self.queue.checked(reply, token)[1])

    def fail(self, item: Item | str, reason: str) -> int:
        """Mark the item as failed for good, and add the reason to the errors of the same name;
        returns the number of items left. Raises as `done`.
        """
        token = item.token if isinstance(item, Item) else item
        reply = self._run("map/fail", token=token, reason=plain(reason or "failed", 500))
        return int(self.queue.checked(reply, token)[1])

    def release(self, item: Item | str, reason: str = "", *, delay_s: float = 0.0) -> bool:
        """Return the item for another worker; False: failed, no delivery left. Raises as `done`."""
        return self.queue.nack(item, delay_s=delay_s, reason=reason)

    def retry(self) -> int:
        """Add failed items again as new ones; returns their number. Errors stay until cleared."""
        return self.queue.revive()

    def tally(self) -> Tally:
        """The map's numbers.

        Raises:
            NothingThere: there is no such map.
        """
        stats = self.queue.stats()
        with self._store.errors():
            known = int(self._store.client.hlen(self._key))
            times = self._store.client.hmget(
                self._store.keys.queue_stats(self.queue.name), "first_ms", "last_ms"
            )
        if not known and not stats.pushed:
            raise NothingThere(
                f"there is no map {self.name}: `octet map start {self.name} ITEM…` makes it"
            )
        started_ms, at_ms = (whole_number(text or "0") or 0 for text in times)
        total = max(known, stats.done + stats.dead + stats.left)
        return Tally(
            total,
            stats.done,
            stats.dead,
            stats.waiting,
            stats.leased - stats.expired,
            started_ms,
            at_ms,
        )

    def results(self) -> list[ItemResult]:
        """The results and errors so far, in the order in which the items were added."""
        records, found = self._records(), dict[str, ItemResult]()
        for kept in self.queue.dead():
            found[encode(kept.value)] = _failure(kept)
        for text, match in records.items():
            if match[2]:
                found[text] = ItemResult(
                    decode(text), decode(match[4]), None, match[3], int(match[2])
                )
        order = {text: int(match[1]) for text, match in records.items()}
        return [
            found[text]
            for text in sorted(found, key=lambda text: (order.get(text, len(order) + 1), text))
        ]

    def wait(self, *, wait_s: float) -> list[ItemResult]:
        """Wait until every item has its result or error; returns them.

        Raises:
            Stopped: the errors of the same name stop the work.
            NothingThere: there is no such map, the time is over, or items were lost.
        """

        def attempt(_: Sequence[str]) -> Tally | None:
            self.errors.check()
            found = self.tally()
            return found if not found.left else None

        if wait_until(Subscription(self._store, *self._channels), attempt, wait_s) is None:
            now = self.tally()
            raise NothingThere(
                f"map {self.name} has {now.left} of {now.total} items left after {wait_s:g} s"
            )
        records, found = self._records(), self.results()
        if lost := records.keys() - {encode(result.item) for result in found}:
            raise NothingThere(
                f"map {self.name} lost {len(lost)} of {len(records)} items, which were removed "
                f"by hand: {plain(min(lost), 80)}"
            )
        return found

    def work(
        self,
        do: Callable[[Any], Any] | Sequence[str],
        *,
        lease_s: float = WORK_LEASE_S,
        max_deliveries: int = MAX_DELIVERIES,
    ) -> int:
        """Take items and do them, one after the other, until none is left; returns the number that
        were done or failed here.

        Args:
            do: a function of the item that returns its result, or the words of a command, as
                `ItemCommand` takes them. An item fails when the function raises or the command's
                status is not 0; it is returned when a signal killed the command.
            lease_s: how soon another worker gets the item of one that was killed; renewed while
                this one lives.

        Raises:
            Stopped: the errors of the same name stop the work.
        """
        return self._work(do, lease_s, max_deliveries, None)

    def run(
        self,
        items: Iterable[Any],
        do: Callable[[Any], Any] | Sequence[str],
        *,
        workers: int = 3,
        lease_s: float = WORK_LEASE_S,
        fail_fast: int | None = None,
        wait_s: float = FOREVER_S,
    ) -> list[ItemResult]:
        """Add items (none: those that are there), do them in `workers` threads, and return all
        results and errors. Other workers of the same map help. Raises as `work` and `wait`.

        A function that only computes gains nothing by threads: run `work` in several processes.
        """
        if not 1 <= workers <= MAX_WORKERS:
            raise UsageError(f"work with 1 to {MAX_WORKERS} workers, not {workers}")
        if fail_fast is not None:
            self.errors.limit(fail_fast)
        if wanted := list(items):
            self.start(wanted)
        self._work_together(do, workers, lease_s)
        return self.wait(wait_s=wait_s)

    def clear(self) -> bool:
        """Delete the map with its items, results and errors; False if there was nothing."""
        with self._store.errors():
            return bool(self._store.client.unlink(self._key, *self.queue.keys, *self._error_keys))

    def _run(self, script: str, **values: Value) -> list[Any]:
        return self._store.run(
            script, name=self.name, queue=self.queue.name, ttl_ms=self._ttl_ms, **values
        )

    def _records(self) -> dict[str, re.Match[str]]:
        with self._store.errors():
            fields = self._store.client.hgetall(self._key)
        return {
            text: match for text, record in fields.items() if (match := _RECORD.fullmatch(record))
        }

    def _take(
        self,
        wait_s: float,
        lease_s: float,
        max_deliveries: int,
        worker: str | None,
        stop: threading.Event | None,
    ) -> Item:
        def attempt(_: Sequence[str]) -> Item | None:
            self.errors.check()
            try:
                return self.queue.reserve(
                    lease_s=lease_s, max_deliveries=max_deliveries, worker=worker
                )
            except NothingThere as nothing:
                if not self.queue.stats().left:
                    raise NothingThere(
                        f"map {self.name} has no item left: see `octet map results {self.name}`"
                    ) from nothing
                return None

        found = wait_until(Subscription(self._store, *self._channels, stop=stop), attempt, wait_s)
        if found is None:
            within = f" within {wait_s:g} s" if wait_s else ""
            raise NothingThere(
                f"map {self.name} has no free item{within}: other workers have the rest"
            )
        return found

    def _work_together(
        self, do: Callable[[Any], Any] | Sequence[str], workers: int, lease_s: float
    ) -> None:
        caught: list[BaseException] = []
        stop = threading.Event()

        def work(ended: threading.Event) -> None:
            try:
                self._work(do, lease_s, MAX_DELIVERIES, stop)
            except Exception as error:  # noqa: BLE001 - raised below, in the caller's thread
                caught.append(error)
                stop.set()
            finally:
                ended.set()

        # Not `join`: when it is interrupted, Python 3.11 takes a running thread for an ended one.
        begun: list[threading.Event] = []
        try:
            for number in range(workers):
                ended = threading.Event()
                threading.Thread(
                    target=work, args=(ended,), name=f"map {self.name} {number}"
                ).start()
                begun.append(ended)
            for ended in begun:
                ended.wait()
        except BaseException:  # Ctrl-C: the items in work are returned first
            stop.set()
            for ended in begun:
                ended.wait()
            raise
        if caught:
            raise caught[0]

    def _work(
        self,
        do: Callable[[Any], Any] | Sequence[str],
        lease_s: float,
        max_deliveries: int,
        stop: threading.Event | None,
    ) -> int:
        call = do if callable(do) else ItemCommand(tuple(do), {"OCTET_MAP": self.name}, stop).run
        ended = 0
        while not (stop and stop.is_set()):
            try:
                item = self._take(FOREVER_S, lease_s, max_deliveries, None, stop)
            except NothingThere:
                break
            # A stale token: this machine slept longer than the lease, and another worker has the
            # item.
            with suppress(StaleToken):
                ended += self._do(call, item, lease_s)
        return ended

    def _do(self, call: Callable[[Any], Any], item: Item, lease_s: float) -> bool:
        """Do one item under its lease; False if it was returned."""
        with self.queue.renewing(item, lease_s):
            try:
                result = call(item.value)
                text = encode(result)
            except CommandFailed as failure:
                if failure.killed:
                    self.release(item, str(failure))
                    return False
                self.fail(item, str(failure))
                return True
            except Exception as error:  # noqa: BLE001 - of the worker's function: the item's error
                self.fail(item, f"{type(error).__name__}: {error}")
                return True
            except BaseException:
                self.release(item, "interrupted")
                raise
        self.done(item, decode(text))
        return True


def reading_of(name: str, tally: Tally) -> Reading:
    """A map's progress."""
    return Reading(name, tally.done + tally.failed, tally.total, tally.started_ms, tally.at_ms)


def _failure(kept: Kept) -> ItemResult:
    return ItemResult(kept.value, None, kept.reason or "failed", kept.worker, kept.at_ms)
