"""The merge worktree in a real repository: exactly one commit's files, and no leftovers."""

from __future__ import annotations

import pytest
from tests.support.repositories import commit, trees, work

from octet.git.program import Git
from octet.git.worktrees import MERGE_WORKTREE, list_worktrees
from octet.merge import worktree as module
from octet.merge.model import CannotMerge
from octet.merge.worktree import MergeWorktree, free_test_worktree, merge_worktree


def test_what_the_tests_left_is_cleaned_up(git: Git) -> None:
    """Changed, ignored and untracked files go, and a branch that the tests made does not move."""
    first = commit(git, {".gitignore": "*.log\n"})
    second = work(git, "t", {"t.txt": "t\n"})
    with free_test_worktree(git, git.common_dir(), trees(git)) as worktree:
        tree = worktree.check_out(first)
        path = worktree.path_for_tests()
        (path / "base.txt").write_text("changed")
        (path / "noise.log").write_text("ignored")
        (path / "deep").mkdir()
        (path / "deep" / "untracked").write_text("x")
        tree.out("checkout", "--quiet", "-b", "of-the-tests")
        worktree.check_out(second)
        assert sorted(file.name for file in path.iterdir()) == [
            ".git",
            ".gitignore",
            "base.txt",
            "t.txt",
        ]
        assert (path / "base.txt").read_text() == "base\n"
        assert git.commit("of-the-tests") == first
    assert not path.exists()
    assert path not in {listed.path for listed in list_worktrees(git)}


def test_one_process_at_a_time(git: Git) -> None:
    """A second landing gets none. Test runs get one each, until all are taken."""
    common, directory = git.common_dir(), trees(git)
    with merge_worktree(git, common, directory) as first:
        assert isinstance(first, MergeWorktree)
        with merge_worktree(git, common, directory) as second:
            assert second is None
    with (
        free_test_worktree(git, common, directory) as one,
        free_test_worktree(git, common, directory) as two,
    ):
        assert one.path != two.path


def test_all_test_worktrees_are_taken(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal says how many run."""
    monkeypatch.setattr(module, "MAX_TEST_RUNS", 1)
    common, directory = git.common_dir(), trees(git)
    with (
        free_test_worktree(git, common, directory),
        pytest.raises(CannotMerge, match="1 test runs"),
        free_test_worktree(git, common, directory),
    ):
        raise AssertionError("two have the same worktree")


def test_a_strangers_directory_stays(git: Git) -> None:
    """A path that is no worktree of this repository is named, and not touched."""
    path = trees(git) / MERGE_WORKTREE
    path.mkdir(parents=True)
    (path / "precious").write_text("x")
    with merge_worktree(git, git.common_dir(), trees(git)) as worktree:
        assert worktree is not None
        assert "in the way" in worktree.clear_leftovers(list_worktrees(git))
    assert (path / "precious").read_text() == "x"
