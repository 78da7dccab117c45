"""What a claim costs with 10, then 1,000, … 1,000,000 tasks queued: no more than the logarithm of
their number.

Round after round of claims at each size on the same server, by the library, over one connection;
the median of a claim's time. What was claimed is given back, so that the size stays. The last rows
have no budget: tasks of another capability in front of every claim, and 511 tasks in front whose
scope is taken, which is one less than a claim looks past.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.claim import registered, start_server
from benchmarks.table import Row, render
from octet.core.agents.registry import Agent
from octet.core.tasks.plans import NewTask
from octet.core.tasks.tasks import Tasks
from octet.store.scripts import Store

SIZES = (10, 1_000, 100_000, 1_000_000)
CLAIMS = 1_000
BATCH = 1_000
PASSED = 511


def run() -> list[Row]:
    """The claim's cost at each size, as a ratio of the smallest."""
    with tempfile.TemporaryDirectory(prefix="octet-bench") as directory:
        server, path = start_server(Path(directory))
        try:
            store, agent = registered(path, 0)
            tasks = Tasks(store)
            costs = {size: measure_at(tasks, agent, size) for size in SIZES}
            foreign, taken = behind_others(tasks, agent), behind_scopes(store, path)
        finally:
            server.terminate()
            server.wait()
    base = costs[SIZES[0]]
    rows = [Row(f"claim, {SIZES[0]} queued", base, "us", None, None, True)]
    for size in SIZES[1:]:
        most = math.log(size) / math.log(SIZES[0])
        rows.append(
            Row(
                f"claim, {size:,} queued",
                costs[size],
                "us",
                costs[size] / base,
                f"<= {most:.1f}",
                costs[size] <= most * base,
            )
        )
    rows.append(
        Row(
            f"same, {BATCH:,} more of another capability in front",
            foreign,
            "us",
            foreign / base,
            None,
            True,
        )
    )
    rows.append(
        Row(f"same, {PASSED} in front whose scope is taken", taken, "us", taken / base, None, True)
    )
    return rows


def measure_at(tasks: Tasks, agent: Agent, size: int) -> float:
    """Fill the queue up to `size` and measure."""
    while (missing := size - tasks.counts()["pending"]) > 0:
        tasks.add_many([NewTask(f"task {n}", priority=n % 7) for n in range(min(BATCH, missing))])
    return measure(tasks, agent, CLAIMS)


def measure(tasks: Tasks, agent: Agent, rounds: int) -> float:
    """Median time of a claim, in microseconds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        task = tasks.claim(agent)
        times.append((time.perf_counter() - began) * 1e6)
        tasks.release(task.id, task.token)
    return statistics.median(times)


def behind_others(tasks: Tasks, agent: Agent) -> float:
    """With tasks of higher priority that the agent has not the capability for."""
    tasks.add_many([NewTask(f"foreign {n}", priority=100, needs=("sql",)) for n in range(BATCH)])
    return measure(tasks, agent, CLAIMS)


def behind_scopes(store: Store, path: str) -> float:
    """With tasks of higher priority whose scope a task in flight has taken."""
    tasks = Tasks(store)
    holder, agent = (registered(path, number)[1] for number in (1, 2))
    taken = tasks.add("taken", priority=900, paths=["src/**"])
    tasks.claim(holder, task_id=taken.id)
    tasks.add_many(
        [NewTask(f"in the way {n}", priority=800, paths=(f"src/{n}/*.py",)) for n in range(PASSED)]
    )
    return measure(tasks, agent, CLAIMS // 10)


if __name__ == "__main__":
    print(render(run()))
