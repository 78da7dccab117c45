"""The branch that work starts from, in a real repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from octet.base.errors import UsageError
from octet.client.api import Octet
from octet.git.program import Git
from octet.project.config import FILE
from octet.project.repository import load_project
from octet.worktree.repository import base_branch, require_repository


def test_the_first_protected_branch_that_exists(root: Path) -> None:
    """Patterns and missing branches are passed over; without any, the refusal names them all."""
    (root / FILE).write_text('project = "shop"\nprotected = ["release/*", "trunk", "main"]\n')
    assert base_branch(load_project(root)) == "main"
    Git(root).out("branch", "trunk")
    assert base_branch(load_project(root)) == "trunk"
    (root / FILE).write_text('project = "shop"\nprotected = ["release/*", "next"]\n')
    with pytest.raises(UsageError, match=r"release/\*, next"):
        base_branch(load_project(root))


def test_a_project_without_a_repository(octet: Octet) -> None:
    """A project that was only named has no worktrees."""
    with pytest.raises(UsageError, match="git init"):
        require_repository(Octet(octet.store.client, "shop"))
