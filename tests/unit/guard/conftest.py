"""A repository laid out by hand: the guard reads git's files, so no git process is needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from octet.guard import payload
from octet.guard.payload import PreToolUse
from octet.project.repository import Project, load_project

COMMIT = "1" * 40 + "\n"
BRANCHES = ("main", "master", "feature", "release/1.0", "octet/T1")


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def make_repository(root: Path, branch: str = "main") -> Path:
    git = root / ".git"
    write(git / "HEAD", f"ref: refs/heads/{branch}\n")
    (git / "objects").mkdir()
    for name in BRANCHES:
        write(git / "refs/heads" / name, COMMIT)
    write(root / "README.md")
    write(root / "src/a.py")
    return root


def add_worktree(root: Path, place: Path, branch: str) -> Path:
    git_dir = root / ".git/worktrees" / place.name
    write(git_dir / "HEAD", f"ref: refs/heads/{branch}\n")
    write(git_dir / "commondir", "../..\n")
    write(git_dir / "gitdir", f"{place}/.git\n")
    write(place / ".git", f"gitdir: {git_dir}\n")
    write(place / "src/a.py")
    return place


def opt_in(root: Path, settings: str = "") -> Project:
    write(root / ".claude/octet.toml", f'project = "shop"\n{settings}')
    return load_project(root)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose main checkout is on main, with a linked worktree `dev-1` on feature and one
    outside, `far`, on octet/T1.
    """
    top = tmp_path_factory.mktemp("guard").resolve()
    root = make_repository(top / "my shop")
    add_worktree(root, root / ".claude/worktrees/dev-1", "feature")
    add_worktree(root, top / "far", "octet/T1")
    make_repository(top / "other")
    make_repository(root / "vendor/lib")
    return opt_in(root)


@pytest.fixture(autouse=True)
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a state directory of the test's own."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("OCTET_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return home


@pytest.fixture(scope="session")
def tool_use() -> Callable[..., PreToolUse]:
    """Builds the event of a tool's start as the client sends it."""

    def build(tool: str, tool_input: Any, cwd: str | Path = "/", **more: Any) -> PreToolUse:
        fields = {
            "session_id": "s",
            "cwd": str(cwd),
            "hook_event_name": "PreToolUse",
            "tool_name": tool,
            "tool_input": tool_input,
            **more,
        }
        event = payload.parse(json.dumps(fields).encode(), {"event": "PreToolUse"})
        assert isinstance(event, PreToolUse)
        return event

    return build
