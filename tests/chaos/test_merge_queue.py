"""A merge queue that is killed at any of its calls of the store: everything lands once, nothing
untested, nothing is stuck.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.redis_fixtures import Server
from tests.support.repositories import assert_in_step, commit, make_repository
from tests.support.store_fixtures import contradictions, join

from octet.base.process import ProcessIdentity, host_id, is_alive
from octet.client.api import Octet, connect
from octet.core.tasks.record import TaskState
from octet.git.program import Git
from octet.project import trust
from octet.project.config import FILE
from octet.project.repository import load_project

SETTINGS = 'project = "shop"\n[test]\ncommand = "sh check.sh"\n'
WORKER = Path(__file__).with_name("queue_worker.py")
SOURCES = Path(__file__).parents[2] / "src"
MAX_STEPS = 200
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]


def submit(octet: Octet, git: Git, name: str) -> str:
    """A task with a commit of its own on its branch, made without a worktree."""
    author = join(octet, host=host_id())
    task = octet.tasks.claim(author, task_id=octet.tasks.add("work", gates=["merge"]).id)
    branch = f"octet/{task.id}"
    blob = git.fed(f"{name}\n".encode(), "hash-object", "-w", "--stdin")
    tree = git.fed(f"{git.out('ls-tree', 'main')}\n100644 blob {blob}\t{name}\n".encode(), "mktree")
    made = git.out("commit-tree", tree, "-p", "main", "-m", name)
    git.out("update-ref", f"refs/heads/{branch}", made)
    octet.tasks.submit(task.id, task.token, branch=branch, commit=made)
    octet.agents.leave(author)
    return task.id


def expire_the_dead(octet: Octet) -> None:
    """What the daemon does within two seconds."""
    for agent in octet.agents.list():
        process = ProcessIdentity.parse(agent.process)
        if process and process.host == host_id() and not is_alive(process):
            octet.agents.expire(agent)


def test_killed_at_every_call_of_the_store(
    alone: Path, monkeypatch: pytest.MonkeyPatch, redis_servers: Callable[[str], Server]
) -> None:
    """SIGKILL before and after each script that the queue runs: the next queue ends the work."""
    monkeypatch.setenv("OCTET_HOME", str(alone / "state"))
    git = make_repository(alone / "the shop")
    (git.directory / ".claude").mkdir()
    commit(git, {str(FILE): SETTINGS, "check.sh": "test ! -e broken\n"})
    trust.approve(load_project(git.directory))
    url = redis_servers("redis").url

    def work(step: int) -> int:
        command = [sys.executable, str(WORKER), str(git.directory), url, str(step)]
        return subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
            check=False,
            capture_output=True,
        ).returncode

    with connect(git.directory, url=url) as octet:
        octet.store.client.flushall()
        for step in range(1, MAX_STEPS):
            tasks = [submit(octet, git, f"file-{step}-{name}") for name in "ab"]
            before = git.commit("main")
            status = work(step)
            tips = git.out("rev-list", "--first-parent", f"{before}..main").splitlines()
            expire_the_dead(octet)
            if status != 0:
                assert work(0) == 0
            done = [octet.tasks.get(task) for task in tasks]
            assert {task.state for task in done} == {TaskState.DONE}, f"killed at step {step}"
            after = git.out("rev-list", "--first-parent", f"{before}..main").splitlines()
            assert len(after) == 1, "the batch is one commit, made once"
            assert tips in ([], after)
            for task in done:
                assert git.contains("main", task.commit)
                merges = git.out(
                    "rev-list",
                    "--merges",
                    "--basic-regexp",
                    f"--grep=^Octet-Task: {task.id}$",
                    f"{before}..main",
                ).splitlines()
                assert task.merge_commit in merges
            assert_in_step(git)
            assert contradictions(octet) == []
            assert [lock.resource for lock in octet.locks.list()] == []
            if status == 0:
                break
        assert 10 < step < MAX_STEPS - 1
