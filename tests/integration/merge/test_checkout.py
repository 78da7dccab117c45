"""The index of a real checkout, replaced at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.repositories import commit

from octet.git.program import Git
from octet.git.worktrees import add_worktree, list_worktrees
from octet.merge.checkout import COPY, LOCK_TEXT, checkouts_of, git_dir, replaced_index


def test_the_index_changes_at_the_end(git: Git) -> None:
    """Until then the real one is locked and unchanged; afterwards neither lock nor copy is left."""
    old = git.commit("main")
    commit(git, {"more.txt": "x\n"})
    directory = git.directory / ".git"
    before = (directory / "index").read_bytes()
    with replaced_index(git) as copied:
        copied.out("read-tree", old)
        assert (directory / "index").read_bytes() == before
        assert (directory / "index.lock").read_text() == LOCK_TEXT
    assert git.out("write-tree") == git.out("rev-parse", f"{old}^{{tree}}")
    assert not (directory / "index.lock").exists()
    assert not (directory / COPY).exists()


def test_a_lock_of_another_git(git: Git) -> None:
    """It is not taken over, and the index stays."""
    lock = git.directory / ".git" / "index.lock"
    lock.write_text("another git's")
    with pytest.raises(FileExistsError), replaced_index(git):
        raise AssertionError("two have the lock")
    assert lock.read_text() == "another git's"


def empty_and_fail(checkout: Git) -> None:
    with replaced_index(checkout) as copied:
        copied.out("read-tree", "--empty")
        raise ZeroDivisionError


def test_a_failure_leaves_the_index(git: Git) -> None:
    """What raises within leaves everything as it was."""
    before = (git.directory / ".git" / "index").read_bytes()
    with pytest.raises(ZeroDivisionError):
        empty_and_fail(git)
    assert (git.directory / ".git" / "index").read_bytes() == before
    assert not (git.directory / ".git" / "index.lock").exists()


def test_the_checkouts_of_a_branch(git: Git, tmp_path: Path) -> None:
    """Main and linked ones; git's directory of each is where git says."""
    linked = add_worktree(git, tmp_path / "trees", "t", base="main")
    known = list_worktrees(git)
    assert [one.directory for one in checkouts_of(git, "main", known)] == [git.directory]
    (tree,) = checkouts_of(git, "octet/t", known)
    assert tree.directory == linked.path
    for checkout in (git, tree):
        assert git_dir(checkout) == Path(checkout.out("rev-parse", "--absolute-git-dir"))
