"""The set-up command of a new worktree."""

from __future__ import annotations

from pathlib import Path

import pytest

from octet.project import trust
from octet.project.config import FILE
from octet.project.repository import load_project
from octet.worktree.setup import run_setup


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project's directory; run_setup needs no repository."""
    root = tmp_path / "the shop"
    (root / FILE).parent.mkdir(parents=True)
    return root


@pytest.mark.parametrize(
    ("command", "said"), [("echo why; exit 3", "status 3"), ("sleep 60 & sleep 60", "after 0.2 s")]
)
def test_a_failed_setup_keeps_the_worktree(root: Path, command: str, said: str) -> None:
    """One line names the log; what the command started is ended with it."""
    (root / FILE).write_text(f'project = "shop"\n[worktree]\nsetup = "{command}"\n')
    project = load_project(root)
    trust.approve(project)
    done = run_setup(project, root, root, {}, limit_s=0.2 if "sleep" in command else 30)
    assert done.ran
    assert said in done.failure
    assert done.log in done.failure
