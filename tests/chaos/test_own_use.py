"""Fifty processes on one queue, one counter and one state; some of them are killed."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.redis_fixtures import Server, wait_for

import octet as package
from octet.client.api import Octet
from octet.store.connection import open_client

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

WORKER = Path(__file__).parent / "own_use_worker.py"
PROCESSES, ITEMS, KILLED, LEASE_NS = 50, 1500, 10, 2_000_000_000


class Crowd:
    """The processes, their server and what they wrote down."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url, self.directory = url, directory
        self.octet = Octet(open_client(url), "p")
        self.octet.store.client.flushall()

    def start(self, job: str) -> list[int]:
        env = os.environ | {"PYTHONPATH": str(Path(package.__file__).parents[1])}
        command = [sys.executable, str(WORKER), self.url, job, str(PROCESSES), str(self.directory)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True
        )
        assert self.process.stdout
        return [int(pid) for pid in self.process.stdout.readline().split()]

    def finish(self) -> list[list[str]]:
        assert self.process.wait(60) == 0
        return [
            line.split()
            for path in sorted(self.directory.iterdir())
            for line in path.read_text().splitlines()
        ]

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()
        self.octet.close()


def kill(pid: int) -> None:
    """SIGKILL, unless it was ready before."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_until_done(done: Callable[[], int], count: int) -> None:
    wait_for(lambda: done() > count, "the workers go on")


@pytest.fixture(params=["redis", "valkey"])
def crowd(
    request: pytest.FixtureRequest, redis_servers: Callable[[str], Server], tmp_path: Path
) -> Iterator[Crowd]:
    crowd = Crowd(redis_servers(request.param).url, tmp_path)
    yield crowd
    crowd.close()


def test_a_queue_loses_nothing(crowd: Crowd) -> None:
    """Every item is done once, none is held by two at once, though every fifth worker is killed in
    the middle of it.
    """
    chance, queue = random.Random(7), crowd.octet.queue("q")
    queue.push(*range(ITEMS // 2))
    for number in range(ITEMS // 2, ITEMS):
        crowd.octet.store.client.lpush("workflow:{p}:queue:q", number)
    queue.reserve(
        lease_s=LEASE_NS / 1e9
    )  # and forgotten: whether one of the killed has an item in hand is chance
    pids = crowd.start("queue")
    for turn, pid in enumerate(chance.sample(pids, KILLED)):
        wait_until_done(lambda: queue.stats().done, ITEMS // 20 * (turn + 1))
        kill(pid)
    lines = [line for line in crowd.finish() if line != ["stale"]]
    stats = queue.stats()
    assert (stats.left, stats.dead, stats.done) == (0, 0, ITEMS)
    assert {int(line[1]) for line in lines} == set(range(ITEMS))
    assert len({line[0] for line in lines}) == len(lines)
    # A worker may be killed between the answer and its note of it.
    assert max(ITEMS + 1, len(lines)) <= stats.given <= len(lines) + 1 + KILLED
    assert held_twice(lines) == []


def held_twice(lines: list[list[str]]) -> list[str]:
    """The items that two workers had at the same time for certain: from the answer to one until it
    gave it up, or its lease was over.
    """
    spans: dict[str, list[tuple[int, int]]] = {}
    for _token, value, asked, had, *end in lines:
        lease_end = int(asked) + LEASE_NS
        spans.setdefault(value, []).append(
            (int(had), min(int(end[0]), lease_end) if end else lease_end)
        )
    ordered = {value: sorted(found) for value, found in spans.items()}
    return [
        value
        for value, found in ordered.items()
        if any(a[1] > b[0] for a, b in itertools.pairwise(found))
    ]


def test_the_check_sees_an_item_held_twice() -> None:
    """Two workers with one item at once are reported, one after the other are not."""
    assert held_twice([["1", "a", "0", "1", "9"], ["2", "a", "4", "5", "12"]]) == ["a"]
    assert held_twice([["1", "a", "0", "1", "9"], ["2", "a", "4", "10", "12"]]) == []


def test_a_counter_is_exact(crowd: Crowd) -> None:
    """No addition is lost, each sum is answered once, and the waiter for the last is told."""
    crowd.start("count")
    assert crowd.octet.counter("c").wait(PROCESSES * 50, wait_s=60) == PROCESSES * 50
    assert sorted(int(line[0]) for line in crowd.finish()) == list(range(1, PROCESSES * 50 + 1))


def test_no_update_is_lost(crowd: Crowd) -> None:
    """Fifty that change one field by compare-and-set all find their change in it."""
    crowd.start("update")
    versions = [line[0] for line in crowd.finish()]
    assert len(set(versions)) == len(versions)
    assert sorted(crowd.octet.state("s").get("list")) == sorted(
        f"{number}.{turn}" for number in range(PROCESSES) for turn in range(4)
    )


def test_a_map_loses_nothing(crowd: Crowd) -> None:
    """Every item has one result, the right one, although every fifth worker is killed."""
    chance, mapped = random.Random(8), crowd.octet.map("m")
    mapped.start(range(ITEMS))
    pids = crowd.start("analyse")
    for turn, pid in enumerate(chance.sample(pids, KILLED)):
        wait_until_done(lambda: mapped.tally().done, ITEMS // 20 * (turn + 1))
        kill(pid)
    results = mapped.wait(wait_s=60)
    assert [(result.item, result.value, result.error) for result in results] == [
        (n, n * 2, None) for n in range(ITEMS)
    ]
    lines = crowd.finish()
    assert ITEMS <= len(lines) <= ITEMS + KILLED, "only what a killed worker had was begun again"


def test_a_pipeline_goes_on_step_by_step(crowd: Crowd) -> None:
    """Fifty that run the same steps do each once, in order; ten of them are killed meanwhile."""
    crowd.octet.pipeline("p").start(*(f"step{n}" for n in range(30)))
    for pid in crowd.start("steps")[::5]:
        kill(pid)
    steps = crowd.octet.pipeline("p").wait(wait_s=60)
    assert [step.result for step in steps] == list(range(1, 31))
    assert len(crowd.finish()) <= sum(step.tries for step in steps)
