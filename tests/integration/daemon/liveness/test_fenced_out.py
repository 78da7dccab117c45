"""Agents that were taken for dead and come back: what each hook tells them, what is refused, and
what becomes of their work.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.daemon.client import Client
from tests.integration.daemon.liveness.processes import register
from tests.integration.daemon.liveness.test_rescuer import at_work
from tests.integration.daemon.liveness.test_rescuer import repository as repository
from tests.support.redis_fixtures import wait_for

from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task
from octet.daemon.hooks.service import HookService
from octet.daemon.liveness.heartbeat import Heartbeat
from octet.daemon.projects.sessions import Projects
from octet.git.program import Git


class Sleeper:
    """An agent at work whose machine was not heard of for longer than its lease."""

    def __init__(
        self,
        service: HookService,
        root: Path,
        url: str,
        octet: Octet,
        process: subprocess.Popen[bytes],
    ) -> None:
        self.octet = octet
        self.agent, self.task, self.path = at_work(octet, process)
        self.client = Client(service, root, url, process.pid, "s")
        octet.locks.acquire(self.agent, ["path:b.py"])
        assert self.client.write(str(self.path / "a.txt")) == ""

    def sleep(self) -> None:
        self.octet.store.client.delete(self.octet.store.keys.heartbeat(self.agent.id))
        assert self.octet.agents.expire_silent(self.agent) is not None

    def write(self) -> str:
        return self.client.write(str(self.path / "a.txt"))


@pytest.fixture
def asleep(
    service: HookService,
    repository: Path,
    redis_url: str,
    octet: Octet,
    sleeper: subprocess.Popen[bytes],
) -> Sleeper:
    found = Sleeper(service, repository, redis_url, octet, sleeper)
    found.sleep()
    return found


@pytest.fixture
def other(octet: Octet) -> Iterator[Agent]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield register(octet, process)
        process.kill()


def claim(octet: Octet, agent: Agent) -> Task:
    return octet.tasks.claim(agent)


def test_every_hook_of_one_that_comes_back_says_what_became_of_its_work(
    asleep: Sleeper, octet: Octet, other: Agent, repository: Path
) -> None:
    """Who has its task now, and where its unfinished work is, which is kept now: some events a few
    times, each write in the worktree.
    """
    task = claim(octet, other)
    client = asleep.client
    first = client.told(client.fire("UserPromptSubmit", prompt="go on"))
    ref = f"refs/octet/rescue/{task.id}/1"
    for part in (
        f"task {task.id}",
        f"{other.id} has it now",
        "kept",
        "declared dead",
        str(asleep.path),
        "locks were freed",
    ):
        assert part in first
    wait_for(
        lambda: octet.tasks.get(task.id).rescue_ref == ref, "its work is kept under any holder"
    )
    assert Git(repository).out("rev-parse", f"{ref}:a.txt")
    for _ in range(2):
        assert f"{other.id} has it now" in asleep.write()
    assert ref in asleep.write()
    assert f"{other.id} has it now" in client.told(client.stop())
    again = client.fire("Stop", stop_hook_active=True, last_assistant_message="Done.")
    assert not again.stdout, "else it would never end"
    said = [client.told(client.fire("UserPromptSubmit", prompt="go on")) for _ in range(5)]
    assert [bool(text) for text in said] == [True, True, False, False, False]
    assert octet.agents.list()[0].role == "developer", "as it was before"
    assert [ref in message.text for message in octet.messages.read(other, 10)] == [True]


def test_the_first_hook_may_be_a_write(asleep: Sleeper, octet: Octet, repository: Path) -> None:
    """Any first write is refused once with what happened; then work outside a task goes on, the
    lost task's worktree does not.
    """
    told = asleep.client.write(str(repository / "b.py"))
    assert "waits to be claimed again" in told
    assert asleep.client.write(str(repository / "c.py")) == ""
    assert "waits to be claimed again" in asleep.write()
    assert octet.tasks.get(asleep.task.id).state == "pending"


def test_a_successor_of_the_daemon_tells_it_too(asleep: Sleeper, projects: Projects) -> None:
    """Nothing of it is only in a daemon's memory."""
    assert "declared dead" in asleep.write()
    heartbeat = Heartbeat(projects)
    asleep.client.service = HookService(projects, heartbeat)
    assert "waits to be claimed again" in asleep.write()
    asleep.client.service.context.token_accounting.stop()
    heartbeat._watcher.stop()


def test_who_takes_work_again_is_past_it(asleep: Sleeper, octet: Octet) -> None:
    """The same task, or another; or when there is nothing left of what it lost."""
    assert asleep.write()
    found = octet.agents.list()[0]
    task = octet.tasks.claim(found, task_id=asleep.task.id)
    assert task.attempts == 2
    assert "Stop that work" not in asleep.write()
    assert octet.agents.expiry(found.process) is None
    octet.tasks.complete(task.id, task.token)
    assert asleep.write() == ""


def test_what_is_over_keeps_nobody_away(asleep: Sleeper, octet: Octet, other: Agent) -> None:
    """The task was finished by another meanwhile."""
    assert asleep.write()
    task = claim(octet, other)
    octet.tasks.complete(task.id, task.token)
    assert asleep.write() == ""


def test_one_that_lost_nothing_is_not_disturbed(
    octet: Octet,
    service: HookService,
    repository: Path,
    redis_url: str,
    sleeper: subprocess.Popen[bytes],
) -> None:
    """An idle session whose laptop slept is registered anew, without a word."""
    agent = register(octet, sleeper)
    octet.store.client.delete(octet.store.keys.heartbeat(agent.id))
    assert octet.agents.expire_silent(agent) is not None
    client = Client(service, repository, redis_url, sleeper.pid, "s")
    assert client.told(client.fire("UserPromptSubmit", prompt="x")) == ""
    assert client.write(str(repository / "a.txt")) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"agent":1}',
        "nonsense",
        '{"agent":"a","at_ms":"x","tasks":"1","attempts":"","locks":0}',
    ],
)
def test_a_burial_written_by_hand_is_none(octet: Octet, text: str) -> None:
    """Whatever stands there."""
    octet.store.client.set(octet.store.keys.expiry("h:1:1"), text)
    assert octet.agents.expiry("h:1:1") is None
