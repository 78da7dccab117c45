"""An approved repository that has a set-up command and ports, and agents that work in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.redis_fixtures import single_redis_url
from tests.support.store_fixtures import join

from octet.base.process import host_id
from octet.client.api import Octet, connect
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task
from octet.git.program import REDIRECTIONS, Git
from octet.git.worktrees import ListedWorktree
from octet.project import trust
from octet.project.config import FILE
from octet.project.repository import load_project
from octet.worktree.creation import PreparedWorktree, prepare_worktree
from octet.worktree.ownership import list_linked_worktrees

redis_url = single_redis_url

SETTINGS = """project = "shop"
[worktree]
setup = "echo $PORT; echo run >> set-up.log"
ports = ["PORT", "DB_PORT"]
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An approved repository with one commit, in a directory whose name has a space."""
    for name in REDIRECTIONS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    root = tmp_path / "the shop"
    (root / ".claude").mkdir(parents=True)
    (root / FILE).write_text(SETTINGS)
    (root / ".gitignore").write_text("*.log\n/.env\n/private/\n/.claude/worktrees/\n")
    (root / "a.txt").write_text("a\n")
    git = Git(root)
    git.out("init", "--quiet", "--initial-branch=main")
    git.out("config", "user.name", "Somebody")
    git.out("config", "user.email", "somebody@example.org")
    git.out("add", "--all")
    git.out("commit", "--quiet", "-m", "base")
    trust.approve(load_project(root))
    return root


@pytest.fixture
def octet(root: Path, redis_url: str) -> Iterator[Octet]:
    with connect(root, url=redis_url) as octet:
        yield octet


def developer(octet: Octet) -> Agent:
    return join(octet, host=host_id())


def claim(octet: Octet, agent: Agent, title: str = "work") -> Task:
    octet.tasks.add(title)
    return octet.tasks.claim(agent)


def prepare(octet: Octet) -> tuple[Agent, Task, PreparedWorktree]:
    """A developer with a task, and its worktree."""
    agent = developer(octet)
    task = claim(octet, agent)
    return agent, task, prepare_worktree(octet, agent, task)


def only_worktree(octet: Octet) -> ListedWorktree:
    assert octet.project
    (listed,) = list_linked_worktrees(octet.project)
    return listed
