"""Real repositories for tests: made, worked in, and checked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support import waiting

from octet.git.program import REDIRECTIONS, Git
from octet.git.worktrees import add_worktree

PEOPLE = [
    f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL", "DATE")
]


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No configuration of the person's, no repository around the test, no redirection from a git
    hook that runs it.
    """
    for name in [*REDIRECTIONS, *PEOPLE, "EMAIL"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    return tmp_path


@pytest.fixture
def git(alone: Path) -> Git:
    """A repository with one commit on main, checked out in a directory whose name has a space."""
    return make_repository(alone / "some repo")


def make_repository(root: Path) -> Git:
    root.mkdir()
    git = Git(root)
    git.out("init", "--quiet", "--initial-branch=main")
    name_somebody(git)
    commit(git, {"base.txt": "base\n"})
    return git


def name_somebody(git: Git) -> None:
    git.out("config", "user.name", "Somebody")
    git.out("config", "user.email", "somebody@example.org")


def commit(git: Git, files: dict[str, str], message: str = "change") -> str:
    for name, text in files.items():
        path = git.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git.out("add", "--all")
    git.out("commit", "--quiet", "-m", message)
    return git.commit("HEAD")


def trees(git: Git) -> Path:
    """Where worktrees lie, beside the repository."""
    return git.directory.parent / "trees"


def work(git: Git, task: str, files: dict[str, str], message: str = "change") -> str:
    """Commit files on a task's branch, in a worktree beside the repository."""
    tree = add_worktree(git, trees(git), task, base="main")
    return commit(git.at(tree.path), files, message)


def assert_in_step(git: Git) -> None:
    """Branch, index and files of the checkout are the same tree."""
    assert git.out("status", "--porcelain", "--untracked-files=no") == ""
    assert git.out("write-tree") == git.out("rev-parse", "main^{tree}")


def install_hook(git: Git, name: str, body: str) -> None:
    path = git.directory / git.out("rev-parse", "--git-path", "hooks") / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def poll(condition: Callable[[], bool], deadline_s: float = 10) -> None:
    """`waiting.poll` for a condition that needs no name."""
    waiting.poll(condition, "the condition came true", deadline_s)
