"""Git and worktrees on real repositories: what is followed, what must stay."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.repositories import alive, commit, make_repository, poll

from octet.base.errors import Refused, UsageError
from octet.git.program import Git, GitFailed
from octet.git.worktrees import (
    ListedWorktree,
    add_worktree,
    branch_of,
    list_worktrees,
)


class TestGit:
    def test_a_redirected_environment_is_not_followed(
        self, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """GIT_DIR and its like, as set inside a git hook, do not send a command to another
        repository.
        """
        other = make_repository(tmp_path / "other")
        with monkeypatch.context() as redirected:
            redirected.setenv("GIT_DIR", str(other.directory / ".git"))
            redirected.setenv("GIT_WORK_TREE", str(other.directory))
            redirected.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
            tip = commit(git, {"a.txt": "a\n"})
        assert git.commit("main") == tip
        assert other.out("rev-list", "--count", "main") == "1"

    def test_a_missing_directory_is_not_replaced_by_the_process_own(
        self, git: Git, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A missing directory is an error, never the repository of the current directory."""
        monkeypatch.chdir(git.directory)
        with pytest.raises(GitFailed):
            git.at(git.directory / "gone").out("rev-parse", "HEAD")

    def test_no_git_program(self, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a git program the error says so in one line."""
        monkeypatch.setenv("PATH", "")
        with pytest.raises(GitFailed, match="not on PATH"):
            git.out("status")

    def test_an_option_is_no_revision(self, git: Git) -> None:
        """A branch name that git would read as an option is refused."""
        with pytest.raises(UsageError):
            git.commit("--all")


class TestWorktrees:
    def test_a_task_gets_a_directory_and_branch_from_the_protected_tip(
        self, git: Git, tmp_path: Path
    ) -> None:
        """The worktree starts at main's tip, whatever the checkout has."""
        tip = git.commit("main")
        git.out("checkout", "--quiet", "-b", "elsewhere")
        commit(git, {"b.txt": "b\n"})
        tree = add_worktree(git, tmp_path / "trees", "t-1", base="main")
        assert tree == ListedWorktree(tmp_path / "trees" / "t-1", tip, "octet/t-1")
        assert git.at(tree.path).commit("HEAD") == tip

    def test_the_same_task_again_gets_the_same_worktree(self, git: Git, tmp_path: Path) -> None:
        """Asking twice is one worktree."""
        assert add_worktree(git, tmp_path / "trees", "t", base="main") == add_worktree(
            git, tmp_path / "trees", "t", base="main"
        )
        assert len(list_worktrees(git)) == 2

    def test_a_second_attempt_leaves_the_first_alone(self, git: Git, tmp_path: Path) -> None:
        """The next claimer works elsewhere; a dead agent's uncommitted file stays where it was."""
        first = add_worktree(git, tmp_path / "trees", "t", base="main")
        (first.path / "only copy.txt").write_text("x")
        second = add_worktree(git, tmp_path / "trees", "t", base="main", attempt=2)
        assert (second.branch, second.path) == ("octet/t-2", tmp_path / "trees" / "t-2")
        assert (first.path / "only copy.txt").exists()

    def test_many_at_once(self, git: Git, tmp_path: Path) -> None:
        """Sixteen agents that start together all get their worktree."""
        with ThreadPoolExecutor(16) as pool:
            trees = list(
                pool.map(
                    lambda number: add_worktree(git, tmp_path / "trees", f"t{number}", base="main"),
                    range(16),
                )
            )
        assert {tree.path for tree in trees} == {tree.path for tree in list_worktrees(git)[1:]}
        assert all(git.at(tree.path).out("status", "--porcelain") == "" for tree in trees)

    def test_a_lock_that_clears_is_waited_for(self, git: Git, tmp_path: Path) -> None:
        """Another git process that holds a ref's lock for a moment does not fail the agent."""
        held = git.directory / ".git" / "refs" / "heads" / "octet" / "t.lock"
        held.parent.mkdir()
        held.touch()
        with ThreadPoolExecutor(1) as pool:
            tree = pool.submit(add_worktree, git, tmp_path / "trees", "t", base="main")
            time.sleep(0.1)  # the length of the other's work, not a readiness wait
            held.unlink()
            assert tree.result(20).branch == "octet/t"

    @pytest.mark.parametrize(
        "task", ["", "-x", "../up", "a/b", "a..b", "a.lock", "a.", "a b", "a\nb", "é", ".a"]
    )
    def test_a_name_that_cannot_be_a_branch(self, task: str) -> None:
        """Ids that would leave the directory or that git refuses as a ref are usage errors."""
        with pytest.raises(UsageError):
            branch_of(task)

    def test_something_in_the_way_is_not_overwritten(self, git: Git, tmp_path: Path) -> None:
        """A directory with files in it at the worktree's place stays."""
        (tmp_path / "trees" / "t").mkdir(parents=True)
        (tmp_path / "trees" / "t" / "file").write_text("mine")
        with pytest.raises(Refused, match="in the way"):
            add_worktree(git, tmp_path / "trees", "t", base="main")
        assert (tmp_path / "trees" / "t" / "file").read_text() == "mine"

    def test_no_protected_branch(self, git: Git, tmp_path: Path) -> None:
        """A base that does not exist is a usage error."""
        with pytest.raises(UsageError, match="no branch trunk"):
            add_worktree(git, tmp_path / "trees", "t", base="trunk")


def test_a_git_past_its_time(git: Git, tmp_path: Path) -> None:
    """It is killed with what it started."""
    pid_file = tmp_path / "pid"
    start = time.monotonic()
    ran = git.at(git.directory, "-c", f"alias.hang=!sleep 300 & echo $! > {pid_file}; wait").within(
        0.5, "hang"
    )
    assert ran.status < 0
    assert time.monotonic() - start < 60
    poll(lambda: not alive(int(pid_file.read_text())))


def test_a_git_that_leaves_somebody_behind(git: Git) -> None:
    """Its answer comes when it ends, though another process still holds its output."""
    ran = git.at(git.directory, "-c", "alias.leave=!sleep 300 & echo $!; echo err >&2").within(
        100, "leave"
    )
    os.kill(int(ran.out), signal.SIGKILL)  # it lives
    assert (ran.status, ran.err) == (0, "err\n")
