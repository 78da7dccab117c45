"""Work of killed agents: kept before their tasks go back, even if git fails; claimers are told."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.integration.daemon.liveness.processes import register
from tests.support.redis_fixtures import wait_for

from octet.cli._common.tasks import describe
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task
from octet.daemon.liveness import rescuer
from octet.daemon.liveness.heartbeat import Heartbeat
from octet.daemon.projects.sessions import Projects
from octet.daemon.turns.briefing import brief
from octet.git.program import REDIRECTIONS, Git
from octet.worktree.creation import prepare_worktree


@pytest.fixture
def repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The approved repository, with git and a commit."""
    for name in REDIRECTIONS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    git = Git(repository)
    git.out("init", "--quiet", "--initial-branch=main")
    git.out("config", "user.name", "Somebody")
    git.out("config", "user.email", "somebody@example.org")
    (repository / "a.txt").write_text("a\n")
    git.out("add", "a.txt")
    git.out("commit", "--quiet", "-m", "base")
    return repository


@pytest.fixture
def heartbeat(projects: Projects) -> Iterator[Heartbeat]:
    heartbeat = Heartbeat(projects)
    heartbeat.start()
    yield heartbeat
    heartbeat.stop()
    for thread in (
        threading.enumerate()
    ):  # what is still being kept must not be noted on the next test's task
        if thread.name.startswith("rescue"):
            thread.join(60)


def at_work(
    octet: Octet, process: subprocess.Popen[bytes], name: str = ""
) -> tuple[Agent, Task, Path]:
    """An agent of that process with a task and a dirty worktree."""
    agent = register(octet, process, suffix=name)
    octet.tasks.add("contested")
    task = octet.tasks.claim(agent)
    path = Path(prepare_worktree(octet, agent, task).path)
    (path / "a.txt").write_bytes(b"half\r\nof \xff it")
    (path / "new\nfile").write_text("untracked")
    return octet.agents.get(agent.id), task, path


def die(octet: Octet, heartbeat: Heartbeat, process: subprocess.Popen[bytes], task: Task) -> float:
    """Kill the process; the seconds until its task can be claimed."""
    heartbeat.beat_soon()
    wait_for(lambda: heartbeat.live_agents() > 0, "the first heartbeat")
    process.kill()
    began = time.monotonic()
    wait_for(lambda: octet.tasks.get(task.id).state == "pending", "the task goes back")
    return time.monotonic() - began


def test_a_killed_developers_work_is_kept_before_its_task_goes_back(
    octet: Octet, heartbeat: Heartbeat, repository: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    """SIGKILL: within two seconds the task waits, its ref has every byte, and the next to claim is
    told in claim and briefing.
    """
    _, task, path = at_work(octet, sleeper)
    assert die(octet, heartbeat, sleeper, task) < 2
    found = octet.tasks.get(task.id)
    assert found.rescue_ref == f"refs/octet/rescue/{task.id}/1"
    git = Git(repository)
    for name in ("a.txt", "new\nfile"):
        blob = git.out("rev-parse", f"{found.rescue_ref}:{name}")
        assert blob == git.out("hash-object", "--no-filters", "--", str(path / name))
    with subprocess.Popen(["sleep", "60"]) as process:
        other = register(octet, process)
        for told in (describe(octet.tasks.claim(other)), brief(octet, other, "/claim-task")):
            assert found.rescue_ref in told
            assert "2 files changed" in told
            assert f"octet task rescue {task.id}" in told
        process.kill()


def test_a_slow_git_does_not_hold_the_task_and_loses_nothing(
    octet: Octet,
    heartbeat: Heartbeat,
    tmp_path: Path,
    sleeper: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """git hangs until it is let go: the task goes back in time; its snapshot comes later, and its
    new holder gets a message.
    """
    _, task, _ = at_work(octet, sleeper)
    gate, real = (
        tmp_path / "go on",
        subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip(),
    )
    request.addfinalizer(gate.touch)  # also where the test fails: nothing is to hang on
    (tmp_path / "slow").mkdir()
    program = tmp_path / "slow" / "git"
    program.write_text(
        f'#!/bin/sh\nwhile [ ! -e "{gate}" ]; do sleep 0.05; done\nexec {real} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    assert die(octet, heartbeat, sleeper, task) < 2
    assert octet.tasks.get(task.id).rescue_ref == ""
    with subprocess.Popen(["sleep", "60"]) as process:
        other = register(octet, process)
        octet.tasks.claim(other)
        gate.touch()
        wait_for(lambda: octet.tasks.get(task.id).rescue_ref != "", "the late snapshot")
        wait_for(
            lambda: any("rescue" in message.text for message in octet.messages.read(other)),
            "the message",
        )
        process.kill()


def test_many_that_die_together_share_one_budget(
    octet: Octet, heartbeat: Heartbeat, sleeper: subprocess.Popen[bytes]
) -> None:
    """Six sub-agents of one process: every task goes back without waiting for six budgets, and
    every snapshot is made.
    """
    tasks = [at_work(octet, sleeper, f"#{n}")[1].id for n in range(6)]
    die(octet, heartbeat, sleeper, octet.tasks.get(tasks[-1]))
    wait_for(
        lambda: all(octet.tasks.get(task).state == "pending" for task in tasks),
        "all tasks go back",
        deadline_s=6,
    )
    wait_for(lambda: all(octet.tasks.get(task).rescue_ref for task in tasks), "all snapshots")


def test_one_that_leaves_is_rescued_too(
    octet: Octet, heartbeat: Heartbeat, sleeper: subprocess.Popen[bytes]
) -> None:
    """`agent leave` by the daemon: the same as a death, in the time that a hook has."""
    agent, task, _ = at_work(octet, sleeper)
    heartbeat.rescuer.save(octet, agent, rescuer.LEAVE_S)
    wait_for(lambda: octet.tasks.get(task.id).rescue_ref != "", "the snapshot")


def test_the_same_death_seen_twice_is_kept_once(
    octet: Octet, repository: Path, heartbeat: Heartbeat, sleeper: subprocess.Popen[bytes]
) -> None:
    """Death watch and heartbeat round may both come upon it."""
    agent, task, _ = at_work(octet, sleeper)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: heartbeat.rescuer.save(octet, agent, 10), range(4)))
    wait_for(lambda: octet.tasks.get(task.id).rescue_ref != "", "the snapshot")
    refs = Git(repository).out("for-each-ref", "--format=%(refname)", "refs/octet/rescue/")
    assert refs == f"refs/octet/rescue/{task.id}/1"


def test_without_a_worktree_nothing_is_kept(
    octet: Octet, heartbeat: Heartbeat, sleeper: subprocess.Popen[bytes]
) -> None:
    """An agent without a worktree of its own: the shared checkout's changes are not its alone, and
    stay where they are.
    """
    agent = register(octet, sleeper)
    octet.tasks.add("no worktree")
    task = octet.tasks.claim(agent)
    assert die(octet, heartbeat, sleeper, task) < 2
    assert octet.tasks.get(task.id).rescue_ref == ""
