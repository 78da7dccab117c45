"""Orchestrators as processes: killed, ended, stopped past their lease and woken; the log must never
show two that lead.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.chaos import history
from tests.support.redis_fixtures import wait_for

from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.messaging.events import Event
from octet.store.connection import open_client

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

WORKER = Path(__file__).parent / "election_worker.py"
WORKERS = 4
# The whole of it on one server; the other shows that nothing depends on which.
ROUNDS = {"redis": 10, "valkey": 4}
SHORT_LEASE_MS = 1500


class Field:
    """Workers of one project; an expiry here is done as the daemon does it."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url, self.directory = url, directory
        self.octet = Octet(open_client(url), "p")
        self.workers: dict[int, subprocess.Popen[str]] = {}
        self.started = 0

    def launch(self, lease_ms: int = 30_000) -> int:
        """Start one and wait until it is registered; its pid."""
        self.started += 1
        recorded = self.directory / f"w{self.started}.jsonl"
        command = [sys.executable, str(WORKER), self.url, "p", str(recorded), str(lease_ms)]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.workers[worker.pid] = worker
        assert worker.stdout
        assert worker.stdout.readline().startswith("orchestrator-")
        return worker.pid

    def leader(self) -> Agent:
        found = self.octet.election.leader()
        assert found
        return self.octet.agents.get(found.agent)

    def agent(self, pid: int) -> Agent | None:
        return next((agent for agent in self.octet.agents.list() if agent.pid == pid), None)

    def written(self) -> int:
        return int(self.octet.store.client.get(self.octet.store.keys.task_seq) or 0)

    def end(self, pid: int, with_signal: signal.Signals) -> None:
        os.kill(pid, with_signal)
        worker = self.workers.pop(pid)
        worker.wait(30)
        assert worker.stdout
        worker.stdout.close()
        if with_signal == signal.SIGKILL and (agent := self.agent(pid)):
            self.octet.agents.expire(agent)

    def oversleep(self, pid: int) -> None:
        """Stop one until its lease has run out and it has expired; then let it go on."""
        agent = self.agent(pid)
        assert agent
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: self.octet.agents.expire_silent(agent) is not None, "its lease runs out")
        successor = self.leader()
        assert successor.id != agent.id
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: self.agent(pid) is not None, "it is back")
        assert self.octet.election.position(self.octet.agents.get(agent.id)) == "standby"

    def close(self) -> None:
        for pid in list(self.workers):
            os.kill(pid, signal.SIGCONT)
            self.end(pid, signal.SIGKILL)
        self.octet.close()


@pytest.fixture
def field(redis_url: str, tmp_path: Path) -> Iterator[Field]:
    field = Field(redis_url, tmp_path)
    yield field
    field.close()


def reigns(events: list[Event], creators: dict[str, str]) -> list[str]:
    """Log entries that contradict one leader at a time, growing epochs, and writes by it alone."""
    leader, epoch, found = "", 0, list[str]()
    for event in events:
        agent = str(event.fields.get("agent", ""))
        if event.type == "orchestrator_elected":
            if leader:
                found.append(f"{agent} was elected while {leader} led")
            if int(event.fields["epoch"]) <= epoch:
                found.append(f"epoch {event.fields['epoch']} came after {epoch}")
            leader, epoch = agent, int(event.fields["epoch"])
        elif event.type in ("agent_died", "agent_left") and agent == leader:
            leader = ""
        elif event.type == "task_added" and creators[event.fields["task"]] != leader:
            found.append(
                f"task {event.fields['task']} was added by {creators[event.fields['task']]} "
                f"while {leader or 'nobody'} led"
            )
    return found


def wait_for_more(field: Field, written: int) -> None:
    wait_for(lambda: field.written() > written, "the leader writes")


def test_never_two_that_lead(field: Field, tmp_path: Path, redis_url: str) -> None:
    """Kills, leaves, sleeps past the lease and stops within it, at random: one leads at any time,
    and only its writes are taken.
    """
    choose = random.Random(5)
    for _ in range(WORKERS):
        field.launch()
    for number in range(ROUNDS["valkey" if "valkey" in redis_url else "redis"]):
        at_leader = choose.random() < 0.7
        pid = field.leader().pid if at_leader else choose.choice(sorted(field.workers))
        before = field.leader()
        match number % 4:
            case 0 | 1:
                field.end(pid, signal.SIGKILL)
                field.launch()
            case 2:
                field.end(pid, signal.SIGTERM)
                field.launch()
            case _:
                os.kill(pid, signal.SIGSTOP)  # slow, not dead: no election follows
                field.launch()
                assert field.octet.agents.expire_silent(before) is None
                os.kill(pid, signal.SIGCONT)
                assert field.leader().id == before.id
        added = field.written()
        wait_for_more(field, added)
    pid = field.launch(SHORT_LEASE_MS)
    while field.leader().pid != pid:
        field.end(field.leader().pid, signal.SIGKILL)
    field.launch()
    field.oversleep(pid)
    field.close()
    check(field.url, tmp_path)


def check(url: str, directory: Path) -> None:
    with open_client(url) as client, Octet(client, "p") as octet:
        events = list(octet.events.replay("0"))
        tasks = octet.tasks.list(limit=100_000)
        assert reigns(events, {task.id: task.created_by for task in tasks}) == []
        epochs = [
            int(event.fields["epoch"]) for event in events if event.type == "orchestrator_elected"
        ]
        assert len(epochs) >= 3
        assert all(before < after for before, after in pairwise(epochs))
        operations = history.read(sorted(directory.glob("*.jsonl")))
        taken = {operation.answer["task"] for operation in operations if "task" in operation.answer}
        open_ended = sum(operation.answered is None for operation in operations)
        assert taken <= {task.id for task in tasks}
        assert len(tasks) - len(taken) <= open_ended
        assert any("refused" in operation.answer for operation in operations)
        assert events[0].type == "agent_joined", "the log has kept everything"


def test_the_check_sees_what_it_must() -> None:
    """Two leaders, an epoch that falls and a write of a stale one are each found."""
    elected = [
        ("orchestrator_elected", {"agent": name, "epoch": epoch})
        for name, epoch in (("a", "2"), ("b", "1"))
    ]
    log = [
        Event(str(n), kind, fields)
        for n, (kind, fields) in enumerate([*elected, ("task_added", {"task": "1"})])
    ]
    assert len(reigns(log, {"1": "a"})) == 3
