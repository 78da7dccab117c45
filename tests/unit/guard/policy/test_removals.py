"""What is lost with a removed path."""

from __future__ import annotations

import pytest

from octet.guard.paths import classify
from octet.guard.policy.removals import Removals
from octet.project.repository import Project


@pytest.mark.parametrize(
    ("place", "worktree", "checkout"),
    [
        (".claude/worktrees/dev-1", "dev-1", False),
        (".claude/worktrees", "dev-1", False),
        (".claude/worktrees/dev-1/src", "", False),
        ("src", "", False),
        ("../far", "far", False),
        ("../other", "", False),
        (".", "dev-1", True),
        ("..", "dev-1", True),
    ],
)
def test_worktrees_and_checkout_go_with_the_path(
    shop: Project, place: str, worktree: str, checkout: bool
) -> None:
    """Themselves, and what lies in a directory above them."""
    target = classify(shop, f"{shop.root}/{place}")
    assert Removals(shop).worktree_in(target) == worktree
    assert Removals(shop).takes_checkout(target) == checkout


@pytest.mark.parametrize(
    ("begin", "worktree"),
    [(".claude/worktrees/", "dev-1"), (".claude/", ""), (".claude", "dev-1"), ("src/", "")],
)
def test_a_beginning_may_mean_a_worktree(shop: Project, begin: str, worktree: str) -> None:
    """After a slash only one that lies directly inside."""
    assert Removals(shop).worktree_below(f"{shop.root}/{begin}") == worktree
