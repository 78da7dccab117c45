"""An approved repository whose work is merged by a queue, and repositories that share a remote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.redis_fixtures import single_redis_url
from tests.support.repositories import commit, make_repository, name_somebody
from tests.support.store_fixtures import join

from octet.base.process import host_id
from octet.client.api import Octet, connect
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task
from octet.git.program import Git
from octet.merge.queue import MergeQueue
from octet.merge.records import MergeReport
from octet.merge.settings import approved_test_command, read_merge_settings
from octet.project import trust
from octet.project.config import FILE
from octet.project.repository import load_project
from octet.worktree.creation import prepare_worktree

redis_url = single_redis_url

SETTINGS = 'project = "shop"\n[test]\ncommand = "sh check.sh"\n'
# Passes unless the files of two works that exclude each other are both there.
CHECK = "test ! -e one -o ! -e other && test ! -e broken\n"


@pytest.fixture
def shop(alone: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """An approved repository whose tests are `check.sh`."""
    monkeypatch.setenv("OCTET_HOME", str(alone / "state"))
    shop = make_repository(alone / "the shop")
    (shop.directory / ".claude").mkdir()
    commit(
        shop,
        {
            str(FILE): SETTINGS,
            "check.sh": CHECK,
            "a.txt": "a\n",
            ".gitignore": ".claude/worktrees/\n",
        },
    )
    trust.approve(load_project(shop.directory))
    return shop


@pytest.fixture
def octet(shop: Git, redis_url: str) -> Iterator[Octet]:
    with connect(shop.directory, url=redis_url, wait_s=5) as octet:
        yield octet


@pytest.fixture
def guardian(octet: Octet) -> Agent:
    return join(octet, "repository-guardian", host=host_id())


def queue_of(octet: Octet, agent: Agent) -> MergeQueue:
    assert octet.project
    settings = read_merge_settings(octet.project, approved_test_command(octet.project))
    return MergeQueue(octet, settings, lambda: agent)


def built(
    octet: Octet,
    files: dict[str, str],
    *,
    gates: Sequence[str] = ("merge",),
    author: Agent | None = None,
    **fields: Any,
) -> Task:
    """A task whose work is submitted, from a worktree of its own."""
    author = author or join(octet, host=host_id())
    added = octet.tasks.add("work", gates=gates, **fields)
    task = octet.tasks.claim(author, task_id=added.id)
    prepared = prepare_worktree(octet, author, task)
    head = commit(Git(Path(prepared.path)), files)
    octet.tasks.submit(task.id, task.token, branch=prepared.branch, commit=head)
    return octet.tasks.get(task.id)


def kinds(reports: Iterator[MergeReport]) -> list[str]:
    return [report.kind for report in reports]


@pytest.fixture
def bare(git: Git) -> Git:
    """The bare repository that `git` and `other` have as origin."""
    directory = git.directory.parent / "hub.git"
    git.out("clone", "--quiet", "--bare", str(git.directory), str(directory))
    git.out("remote", "add", "origin", str(directory))
    return Git(directory)


@pytest.fixture
def other(bare: Git) -> Git:
    """Another person's clone."""
    directory = bare.directory.parent / "other"
    bare.out("clone", "--quiet", str(bare.directory), str(directory))
    clone = Git(directory)
    name_somebody(clone)
    return clone


def push_from(clone: Git, files: dict[str, str]) -> str:
    pushed = commit(clone, files)
    clone.out("push", "--quiet", "origin", "main")
    return pushed
