"""A branch and its real checkout: what keeps them from moving, and how they move together."""

from __future__ import annotations

import os

import pytest
from tests.support.repositories import assert_in_step, commit, work

from octet.git.program import Git
from octet.git.worktrees import list_worktrees
from octet.merge.branch_move import (
    CheckedOutBranch,
    check_can_follow,
    find_checkout,
    move_branch,
)
from octet.merge.model import CannotMerge
from octet.merge.move_record import RECORD

LONG_AGO = (1_000_000_000, 1_000_000_000)


def test_looking_takes_no_lock(git: Git) -> None:
    """A file that was only touched is no change, for the status as for the move; and the index
    itself is not written for that.
    """
    old = commit(git, {"touched.txt": "as it was\n"})
    git.out("checkout", "--quiet", "-b", "ahead")
    new = commit(git, {"touched.txt": "new\n"})
    git.out("checkout", "--quiet", "main")
    os.utime(git.directory / "touched.txt", LONG_AGO)
    index = git.directory / ".git" / "index"
    before = index.read_bytes()
    (index.parent / "index.lock").write_text("another git's")
    place = find_checkout(git, "main", list_worktrees(git))
    assert place.checkout
    check_can_follow(place, old, new)
    assert index.read_bytes() == before


def test_what_keeps_a_checkout_from_following(git: Git) -> None:
    """Changes, an unfinished merge, a directory that is gone: each is named with what to do."""
    assert find_checkout(git, "elsewhere", list_worktrees(git)) == CheckedOutBranch(
        "elsewhere", None
    )
    (git.directory / "base.txt").write_text("mine\n")
    with pytest.raises(CannotMerge, match="uncommitted changes: commit them"):
        find_checkout(git, "main", list_worktrees(git))
    git.out("checkout", "--", "base.txt")
    work(git, "t", {"t.txt": "t\n"})
    git.out("merge", "--no-commit", "--no-ff", "--strategy=ours", "octet/t")
    with pytest.raises(CannotMerge, match="finish it there"):
        find_checkout(git, "main", list_worktrees(git))


def test_a_new_file_over_an_untracked_one(git: Git) -> None:
    """The move is tried without touching anything, and the file is named."""
    new = work(git, "t", {"t.txt": "theirs\n"})
    (git.directory / "t.txt").write_text("mine\n")
    place = find_checkout(git, "main", list_worktrees(git))
    with pytest.raises(CannotMerge, match=r"untracked files in the way: t\.txt; move them"):
        check_can_follow(place, git.commit("main"), new)
    assert (git.directory / "t.txt").read_text() == "mine\n"


def test_a_move_by_compare_and_swap(git: Git) -> None:
    """From another commit than the branch's nothing moves; from its own both do, and no record is
    left.
    """
    old, new = git.commit("main"), work(git, "t", {"t.txt": "t\n"})
    place = find_checkout(git, "main", list_worktrees(git))
    assert move_branch(git, git.common_dir(), place, old, new, lambda: None) != ""
    assert git.commit("main") == old
    assert move_branch(git, git.common_dir(), place, new, old, lambda: None) == ""
    assert git.commit("main") == new
    assert (git.directory / "t.txt").exists()
    assert not (git.common_dir() / RECORD).exists()
    assert_in_step(git)
