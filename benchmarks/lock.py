"""Fifty contenders for one lock: the longest wait, against a blocking flock's, and how far from the
order of arrival.

Both sides run the same fifty processes for the same time, in turn: take it, hold it for 20 ms (less
than anybody needs who changes a file or a branch), release it, come again at once. A hand-over is
what passes between one holder's release and the next one's taking: a system call's time for flock,
two round trips for a lock, each through a process that must be woken. The last rows say what a lock
that no other wants costs beside no, a hundred and ten thousand others.
"""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from multiprocessing.synchronize import Barrier as BarrierType
from pathlib import Path

from benchmarks.claim import registered, start_server
from benchmarks.table import Row, render
from octet.core.locks.locks import Locks

CONTENDERS = 50
ROUNDS = 3
SECONDS = 4.0
HOLD_S = 0.02
OTHERS = (0, 100, 10_000)
CALLS = 1_000

Taker = Callable[[str, int, Path], Callable[[], AbstractContextManager[None]]]
# When it was asked for, taken and released, in seconds of the one clock that all processes share.
Span = tuple[float, float, float]


def run() -> list[Row]:
    """The worst wait as a ratio of flock's, the order of arrival, and the cost of a lock that
    no other wants.
    """
    with tempfile.TemporaryDirectory(prefix="octet-bench") as directory:
        server, path = start_server(Path(directory))
        try:
            rounds = [
                {
                    name: contend(taker, path)
                    for name, taker in (("flock", flock_taker), ("octet", octet_taker))
                }
                for _ in range(ROUNDS)
            ]
            costs = [uncontended(path, others) for others in OTHERS]
        finally:
            server.terminate()
            server.wait()

    def median(name: str, figure: Callable[[Sequence[Span]], float]) -> float:
        return statistics.median(figure(one[name]) for one in rounds)

    ratio = statistics.median(worst(one["octet"]) / worst(one["flock"]) for one in rounds)
    passed = median("octet", passed_over)
    return [
        Row(
            f"flock, {CONTENDERS} contenders, worst wait",
            median("flock", worst),
            "ms",
            None,
            None,
            True,
        ),
        Row("flock, median wait", median("flock", middle), "ms", None, None, True),
        Row("flock, passed by a later one", median("flock", passed_over), "%", None, None, True),
        Row(
            f"lock, {CONTENDERS} contenders, worst wait",
            median("octet", worst),
            "ms",
            ratio,
            "<= 1",
            ratio <= 1,
        ),
        Row("lock, median wait", median("octet", middle), "ms", None, None, True),
        Row("flock, hand-over, median", median("flock", hand_over), "ms", None, None, True),
        Row("lock, hand-over, median", median("octet", hand_over), "ms", None, None, True),
        Row(
            "lock, worst wait to median wait",
            median("octet", worst),
            "ms",
            median("octet", spread),
            None,
            True,
        ),
        Row("lock, passed by a later one", passed, "%", None, "<= 1 %", passed <= 1),
        *(
            Row(f"lock and release beside {n:,} others", cost, "ms", cost / costs[0], None, True)
            for n, cost in zip(OTHERS, costs, strict=True)
        ),
    ]


def worst(spans: Sequence[Span]) -> float:
    """The longest wait, ms."""
    return max(taken - asked for asked, taken, _ in spans) * 1000


def middle(spans: Sequence[Span]) -> float:
    """The median wait, ms."""
    return statistics.median(taken - asked for asked, taken, _ in spans) * 1000


def spread(spans: Sequence[Span]) -> float:
    """The longest wait over the median."""
    return worst(spans) / middle(spans)


def hand_over(spans: Sequence[Span]) -> float:
    """The median time between one holder's release and the next one's taking, ms."""
    ordered = sorted(spans, key=lambda span: span[1])
    return statistics.median(after[1] - before[2] for before, after in pairwise(ordered)) * 1000


def passed_over(spans: Sequence[Span]) -> float:
    """Per cent of acquisitions that overtook a clearly earlier waiter: by five hold times, in
    which fifty processes that share two processors have all got their place in the queue.
    """
    ordered = sorted(spans, key=lambda span: span[1])
    earliest, passed = float("inf"), 0
    for asked, _, _ in reversed(ordered):
        passed += asked > earliest + 5 * HOLD_S
        earliest = min(earliest, asked)
    return 100 * passed / len(ordered)


def contend(taker: Taker, path: str) -> list[Span]:
    """Every taking of one lock by fifty processes."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(CONTENDERS)
    with tempfile.TemporaryDirectory() as out:
        lock = Path(out) / "lock"
        lock.touch()
        processes = [
            context.Process(target=contender, args=(taker, path, n, lock, barrier))
            for n in range(CONTENDERS)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        return [
            tuple(span)
            for n in range(CONTENDERS)
            for span in json.loads((Path(out) / str(n)).read_text())
        ]


def contender(taker: Taker, path: str, number: int, lock: Path, barrier: BarrierType) -> None:
    """Take it, again and again, until the time is over; writes down when."""
    take, spans = taker(path, number, lock), []
    barrier.wait()
    end = time.monotonic() + SECONDS
    while (asked := time.monotonic()) < end:
        with take():
            taken = time.monotonic()
            time.sleep(HOLD_S)
            released = time.monotonic()
        spans.append((asked, taken, released))
    (lock.parent / str(number)).write_text(json.dumps(spans))


def flock_taker(_: str, __: int, lock: Path) -> Callable[[], AbstractContextManager[None]]:
    """A blocking flock on a file."""
    file = os.open(lock, os.O_RDWR)

    @contextmanager
    def take() -> Iterator[None]:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)

    return take


def octet_taker(path: str, number: int, _: Path) -> Callable[[], AbstractContextManager[None]]:
    """The library's lock, waited for."""
    store, agent = registered(path, number)
    locks = Locks(store)

    @contextmanager
    def take() -> Iterator[None]:
        token = locks.acquire_when_free(agent, ["name:bench"], 120)["name:bench"]
        try:
            yield
        finally:
            locks.release("name:bench", token)

    return take


def uncontended(path: str, others: int) -> float:
    """The median time to take and release a file's lock, in ms, with so many other files locked."""
    store, holder = registered(path, 1)
    store.client.flushdb()
    (_, holder), (_, agent) = registered(path, 1), registered(path, 2)
    locks, times = Locks(store), []
    for start in range(0, others, 1000):
        locks.acquire(
            holder,
            [f"path:src/{n % 50}/{n}.py" for n in range(start, min(start + 1000, others))],
            ttl_ms=600_000,
        )
    for _ in range(CALLS):
        began = time.perf_counter()
        locks.release("path:a.py", locks.acquire(agent, ["path:a.py"])["path:a.py"])
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    print(render(run()))
