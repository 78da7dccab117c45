"""Fifty processes race for tasks on a real server; the history they leave must show no loss, no double, no stale write."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos import history

from octet.agents import Agents, Registration
from octet.store import scripts
from octet.store.connection import open_client
from octet.store.keys import Keys
from octet.store.scripts import Store
from octet.tasks import Tasks

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

WORKERS = 50
# The whole of it on one server; the other shows that nothing depends on which.
TASKS_EACH = {"redis": 500, "valkey": 100}
WORKER = Path(__file__).parent / "claim_worker.py"


class Race:
    """Workers of one project, started together; those that die are buried by pid, as the daemon does it."""

    def __init__(self, url: str, directory: Path, tasks_each: int) -> None:
        self.tasks_each = tasks_each
        self.store = Store(open_client(url), Keys(directory.name.replace("_", "-")))
        self.tasks, self.agents = Tasks(self.store), Agents(self.store)
        self.directory = directory
        self.start = directory / "start"
        self.url = url
        self.workers: list[subprocess.Popen[str]] = []

    def add_tasks(self, count: int) -> set[str]:
        """Half by the library, half by a plain LPUSH, in pipelines."""
        added = {self.tasks.add(f"task {n}", priority=n % 7).id for n in range(count // 2)}
        pipe = self.store.client.pipeline(transaction=False)
        for n in range(count - count // 2):
            pipe.lpush(self.store.keys.pending, f"raw {n}")
        pipe.execute()
        return added | {str(n) for n in range(count // 2 + 1, count + 1)}

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
            str(self.directory / f"{name}.jsonl"),
            str(self.start),
        ]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def kill(self, worker: subprocess.Popen[str]) -> None:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        for agent in self.agents.list():
            if agent.pid == worker.pid:
                self.agents.bury(agent)

    def finish(self) -> list[history.Operation]:
        for worker in self.workers:
            worker.wait(timeout=240)
            assert worker.stdout is not None
            worker.stdout.close()
        return history.read(sorted(self.directory.glob("*.jsonl")))

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.store.client.close()


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
    assert history.check(operations, added) == []
    counts = race.tasks.counts()
    assert counts["done"] == len(added)
    assert sum(counts.values()) == len(added)
    claims = sum("token" in op.answer for op in operations if op.name == "claim")
    assert claims == len(added)


def test_one_process_in_ten_killed_loses_nothing(race: Race) -> None:
    """Every tenth process gets SIGKILL at a random moment and a successor; each task is still done exactly once."""
    chance = random.Random(20261122)
    added = race.add_tasks(WORKERS * race.tasks_each // 2)
    race.launch(WORKERS)
    race.start.touch()
    for victim in chance.sample(race.workers, WORKERS // 10):
        target = race.tasks.counts()["done"] + chance.randint(len(added) // 60, len(added) // 8)
        wait_for_done(race, min(target, len(added) * 9 // 10))
        race.kill(victim)
        race.launch(1)
    operations = race.finish()
    assert history.check(operations, added) == []
    assert race.tasks.counts()["done"] == len(added)


def wait_for_done(race: Race, count: int) -> None:
    deadline = time.monotonic() + 120
    while race.tasks.counts()["done"] < count:
        assert time.monotonic() < deadline, "the workers make no progress"
        time.sleep(0.01)  # polling to a deadline


def operation(name: str, at: int, worker: str = "w", answered: int | None = None, **data: str) -> history.Operation:
    """One operation of a made-up history."""
    arguments = data if name == "complete" else {}
    answer = data if name == "claim" else {"result": "done"}
    return history.Operation(name, worker, at, at + 1 if answered is None else answered, arguments, answer)


@pytest.mark.parametrize(
    ("operations", "complaint"),
    [
        ([operation("complete", 1, task="1", token="1"), operation("complete", 5, task="1", token="2")], "completed 2 times"),
        ([], "added and never completed"),
        ([operation("claim", 1, task="1", token="5"), operation("claim", 5, task="2", token="4")], "given after token 5"),
        ([operation("claim", 1, task="1", token="5"), operation("claim", 1, task="2", token="5")], "given 2 times"),
        (
            [
                operation("claim", 1, "a", task="1", token="5"),
                operation("claim", 5, "b", task="1", token="6"),
                operation("complete", 9, "a", task="1", token="5"),
            ],
            "held by a and b at once",
        ),
    ],
)
def test_checker_reports_each_broken_invariant(operations: list[history.Operation], complaint: str) -> None:
    """A history that breaks an invariant on purpose is reported."""
    assert any(complaint in line for line in history.check(operations, {"1"}))


def test_checker_catches_a_script_without_fencing(race: Race, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the token check taken out of the real script, a stale holder's completion counts and the checker says so."""
    real = scripts.load_script
    text = real("task_complete").text.replace("if not in_force then", "if false then")
    text = text.replace("if held.state ~= 'claimed' and held.state ~= 'merging' then", "if false then")
    broken = scripts.Script("task_complete", text, race.store.client.script_load(text))
    monkeypatch.setattr(scripts, "load_script", lambda name: broken if name == "task_complete" else real(name))
    recorder = history.Recorder(race.directory / "w.jsonl", "w")
    race.tasks.add("contested")
    for name in ("late", "next"):
        agent = race.agents.register(Registration(role="worker", name=name)).agent
        with recorder.operation("claim") as answer:
            task = race.tasks.claim(agent)
            answer.update(task=task.id, token=task.token)
        if name == "late":
            first = task
            race.agents.bury(agent)
    for claim in (task, first):
        with recorder.operation("complete", task=claim.id, token=claim.token) as answer:
            race.tasks.complete(claim.id, claim.token)
            answer["result"] = "done"
    assert "task 1 was completed 2 times" in history.check(history.read([race.directory / "w.jsonl"]), {"1"})
