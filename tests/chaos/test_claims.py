"""Fifty processes race for tasks on a real server; the history they leave must show no loss, no
double, no stale write.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.checker import check
from tests.chaos.history import Operation, Recorder, read
from tests.chaos.torture.acts import Acts
from tests.chaos.torture.audit import read_tasks
from tests.support.redis_fixtures import wait_for

from octet.client.api import Octet
from octet.store.connection import open_client

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

WORKERS = 50
# The whole of it on one server; the other shows that nothing depends on which.
TASKS_EACH = {"redis": 500, "valkey": 100}
WORKER = Path(__file__).parent / "claim_worker.py"


class Race:
    """Workers of one project, started together; dead ones are expired by pid, as by the daemon."""

    def __init__(self, url: str, directory: Path, tasks_each: int) -> None:
        self.tasks_each = tasks_each
        self.octet = Octet(open_client(url), directory.name.replace("_", "-"))
        self.store, self.tasks, self.agents = self.octet.store, self.octet.tasks, self.octet.agents
        self.directory = directory
        self.recorder = Recorder(directory / "0.log")
        self.start = directory / "start"
        self.url = url
        self.workers: list[subprocess.Popen[str]] = []

    def add_tasks(self, count: int) -> int:
        """Half by the library, half by a plain LPUSH, in pipelines; returns how many."""
        for n in range(count // 2):
            with self.recorder.operation("add", task=f"task {n}"):
                self.tasks.add(f"task {n}", priority=n % 7)
        pipe = self.store.client.pipeline(transaction=False)
        raw = [f"raw {n}" for n in range(count - count // 2)]
        numbers = [self.recorder.invoke("add", {"task": title}) for title in raw]
        for title in raw:
            pipe.lpush(self.store.keys.pending, title)
        pipe.execute()
        for number in numbers:
            self.recorder.answer(number, {"outcome": "ok"})
        return count

    def launch(self, count: int) -> None:
        names = [f"w{n}" for n in range(len(self.workers), len(self.workers) + count)]
        fresh = [self._spawn(name) for name in names]
        for worker in fresh:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        self.workers += fresh

    def _spawn(self, name: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            str(WORKER),
            self.url,
            self.store.keys.project,
            name,
            str(self.directory / f"{name}.log"),
            str(self.start),
        ]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def kill(self, worker: subprocess.Popen[str]) -> None:
        with self.recorder.operation("kill", worker=f"w{self.workers.index(worker)}"):
            os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        for agent in self.agents.list():
            if agent.pid == worker.pid:
                self.agents.expire(agent)

    def finish(self) -> list[Operation]:
        """What everybody did, and what became of each task."""
        for worker in self.workers:
            worker.wait(timeout=240)
            assert worker.stdout is not None
            worker.stdout.close()
        operations = read(sorted(self.directory.glob("*.log")))
        read_tasks(Acts(self.octet, Recorder(self.directory / "audit.log")), operations)
        return [*operations, *read([self.directory / "audit.log"])]

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.octet.close()
        self.recorder.close()


@pytest.fixture
def race(request: pytest.FixtureRequest, redis_url: str, tmp_path: Path) -> Iterator[Race]:
    race = Race(redis_url, tmp_path, TASKS_EACH[request.node.callspec.params["redis_url"]])
    yield race
    race.close()


def test_fifty_processes_claim_each_task_once(race: Race) -> None:
    """Fifty processes and 25,000 tasks: each done once, tokens strictly grow, no two holders."""
    added = race.add_tasks(WORKERS * race.tasks_each)
    race.launch(WORKERS)
    race.start.touch()
    operations = race.finish()
    assert check(operations) == []
    counts = race.tasks.counts()
    assert counts["done"] == added
    assert sum(counts.values()) == added
    assert sum(op.name == "claim" and op.ok for op in operations) == added


def test_one_process_in_ten_killed_loses_nothing(race: Race) -> None:
    """Every tenth process gets SIGKILL at a random moment and a successor; each task is still done
    exactly once.
    """
    chance = random.Random(20261122)
    added = race.add_tasks(WORKERS * race.tasks_each // 2)
    race.launch(WORKERS)
    race.start.touch()
    for victim in chance.sample(race.workers, WORKERS // 10):
        target = race.tasks.counts()["done"] + chance.randint(added // 60, added // 8)
        wait_for_done(race, min(target, added * 9 // 10))
        race.kill(victim)
        race.launch(1)
    operations = race.finish()
    assert check(operations) == []
    assert race.tasks.counts()["done"] == added


def wait_for_done(race: Race, count: int) -> None:
    wait_for(lambda: race.tasks.counts()["done"] >= count, "the workers make progress", 120)
