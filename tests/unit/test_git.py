"""Worktrees and merges on real repositories: what may move, what must stay, and what a kill leaves behind."""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from octet import merge as merging
from octet.errors import Refused, UsageError
from octet.git import REDIRECTIONS, Git, GitFailed
from octet.merge import Conflict, Merged, MergeRefused, Outcome, Suite
from octet.worktrees import Worktree, add_worktree, branch_of, list_worktrees, remove_worktree

PASSING = Suite("true", 30)
SOURCES = str(Path(merging.__file__).parents[1])


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration of the person's, no repository around the test, no redirection from a git hook that runs it."""
    for name in [*REDIRECTIONS, "GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """A repository with one commit on main, checked out in a directory whose name has a space."""
    return make_repository(tmp_path / "some repo")


def make_repository(root: Path) -> Git:
    root.mkdir()
    git = Git(root)
    git.out("init", "--quiet", "--initial-branch=main")
    git.out("config", "user.name", "Somebody")
    git.out("config", "user.email", "somebody@example.org")
    commit(git, {"base.txt": "base\n"})
    return git


def commit(git: Git, files: dict[str, str]) -> str:
    for name, text in files.items():
        (git.directory / name).write_text(text)
    git.out("add", "--all")
    git.out("commit", "--quiet", "-m", "change")
    return git.commit("HEAD")


def work(git: Git, task: str, files: dict[str, str]) -> str:
    """Commit files on a task's branch, in a worktree beside the repository."""
    tree = add_worktree(git, git.directory.parent / "trees", task, base="main")
    return commit(git.at(tree.path), files)


def merge(git: Git, source: str, suite: Suite | None = PASSING) -> Outcome:
    return merging.merge(git, source, "main", suite=suite, scratch=git.directory.parent / "trees", message=f"Merge {source}")


def assert_in_step(git: Git) -> None:
    """Branch, index and files of the checkout are the same tree."""
    assert git.out("status", "--porcelain", "--untracked-files=no") == ""
    assert git.out("write-tree") == git.out("rev-parse", "main^{tree}")


class TestGit:
    def test_a_redirected_environment_is_not_followed(self, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """GIT_DIR and its like, as set inside a git hook, do not send a command to another repository."""
        other = make_repository(tmp_path / "other")
        with monkeypatch.context() as redirected:
            redirected.setenv("GIT_DIR", str(other.directory / ".git"))
            redirected.setenv("GIT_WORK_TREE", str(other.directory))
            redirected.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
            tip = commit(git, {"a.txt": "a\n"})
        assert git.commit("main") == tip
        assert other.out("rev-list", "--count", "main") == "1"

    def test_a_missing_directory_is_not_replaced_by_the_process_own(self, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
        """A directory that is gone is an error, never the repository the process happens to stand in."""
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
    def test_a_task_gets_a_directory_and_branch_from_the_protected_tip(self, git: Git, tmp_path: Path) -> None:
        """The worktree starts at main's tip, whatever the checkout has."""
        tip = git.commit("main")
        git.out("checkout", "--quiet", "-b", "elsewhere")
        commit(git, {"b.txt": "b\n"})
        tree = add_worktree(git, tmp_path / "trees", "t-1", base="main")
        assert tree == Worktree(tmp_path / "trees" / "t-1", tip, "octet/t-1")
        assert git.at(tree.path).commit("HEAD") == tip

    def test_the_same_task_again_gets_the_same_worktree(self, git: Git, tmp_path: Path) -> None:
        """Asking twice is one worktree."""
        assert add_worktree(git, tmp_path / "trees", "t", base="main") == add_worktree(git, tmp_path / "trees", "t", base="main")
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
            trees = list(pool.map(lambda number: add_worktree(git, tmp_path / "trees", f"t{number}", base="main"), range(16)))
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

    @pytest.mark.parametrize("task", ["", "-x", "../up", "a/b", "a..b", "a.lock", "a.", "a b", "a\nb", "é", ".a"])
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

    @pytest.mark.parametrize("make", ["changed", "staged", "untracked", "unmerged", "detached", "locked"])
    def test_work_that_is_nowhere_else_keeps_its_worktree(self, git: Git, tmp_path: Path, make: str) -> None:
        """Removal is refused while anything in the worktree would be lost by it."""
        tree = add_worktree(git, tmp_path / "trees", "t", base="main")
        there = git.at(tree.path)
        if make in {"changed", "staged"}:
            (tree.path / "base.txt").write_text("new")
        if make == "staged":
            there.out("add", "base.txt")
        if make == "untracked":
            (tree.path / "new.txt").write_text("new")
        if make == "unmerged":
            commit(there, {"new.txt": "new"})
        if make == "detached":
            there.out("checkout", "--quiet", "--detach")
            commit(there, {"new.txt": "new"})
        if make == "locked":
            git.out("worktree", "lock", str(tree.path))
        with pytest.raises(Refused, match="stays"):
            remove_worktree(git, tree, merged_into="main")
        assert tree.path.is_dir()

    def test_merged_work_lets_its_worktree_go(self, git: Git) -> None:
        """A clean worktree whose commits are in main goes, with its branch; files that git ignores do not hold it."""
        work(git, "t", {"t.txt": "t\n", ".gitignore": "*.log\n"})
        assert isinstance(merge(git, "octet/t"), Merged)
        tree = next(tree for tree in list_worktrees(git) if tree.branch == "octet/t")
        (tree.path / "noise.log").write_text("noise")
        remove_worktree(git, tree, merged_into="main")
        assert not tree.path.exists()
        assert git.commit("octet/t") == ""

    def test_the_main_checkout_is_never_removed(self, git: Git) -> None:
        """The first worktree, and a directory that is none, are refused."""
        with pytest.raises(Refused, match="main checkout"):
            remove_worktree(git, list_worktrees(git)[0], merged_into="main")
        with pytest.raises(Refused, match="no worktree"):
            remove_worktree(git, Worktree(git.directory.parent / "nothing"), merged_into="main")


class TestMerge:
    def test_passing_work_moves_branch_index_and_files(self, git: Git) -> None:
        """The checkout that has main follows to the new commit, untracked files untouched."""
        before = git.commit("main")
        submitted = work(git, "t", {"t.txt": "t\n", "base.txt": "changed\n"})
        (git.directory / "notes.txt").write_text("mine")
        outcome = merge(git, submitted)
        assert outcome == Merged(git.commit("main"), before)
        assert git.contains("main", submitted)
        assert (git.directory / "t.txt").read_text() == "t\n"
        assert (git.directory / "notes.txt").read_text() == "mine"
        assert_in_step(git)

    def test_nothing_is_left_behind(self, git: Git) -> None:
        """After a merge there is no scratch worktree and no marker."""
        work(git, "t", {"t.txt": "t\n"})
        merge(git, "octet/t")
        assert {tree.branch for tree in list_worktrees(git)} == {"main", "octet/t"}
        assert git.out("for-each-ref", "refs/octet") == ""

    def test_main_checked_out_nowhere(self, git: Git) -> None:
        """A checkout on another branch stays as it is."""
        work(git, "t", {"t.txt": "t\n"})
        git.out("checkout", "--quiet", "-b", "mine")
        (git.directory / "base.txt").write_text("in the middle of something")
        assert isinstance(merge(git, "octet/t"), Merged)
        assert git.contains("main", "octet/t")
        assert (git.directory / "base.txt").read_text() == "in the middle of something"

    def test_work_that_main_has_already(self, git: Git) -> None:
        """A guardian that died after its merge finds it made and moves nothing."""
        work(git, "t", {"t.txt": "t\n"})
        merge(git, "octet/t")
        tip = git.commit("main")
        assert merge(git, "octet/t", Suite("false", 30)) == Merged(tip, tip)

    def test_a_conflict_names_its_files(self, git: Git) -> None:
        """Both sides changed the same lines: the paths come back, nothing moves."""
        work(git, "one", {"base.txt": "one\n", "naïve name.txt": "one\n"})
        work(git, "two", {"base.txt": "two\n", "naïve name.txt": "two\n"})
        merge(git, "octet/one")
        tip = git.commit("main")
        assert merge(git, "octet/two") == Conflict(("base.txt", "naïve name.txt"))
        assert git.commit("main") == tip
        assert_in_step(git)

    def test_tests_see_the_combined_tree(self, git: Git) -> None:
        """Two branches that pass alone and fail together do not both get in."""
        work(git, "one", {"one.txt": "1\n"})
        work(git, "two", {"two.txt": "2\n"})
        not_both = Suite("echo seen; ! { [ -e one.txt ] && [ -e two.txt ]; }", 30)
        assert isinstance(merge(git, "octet/one", not_both), Merged)
        tip = git.commit("main")
        assert merge(git, "octet/two", not_both) == merging.TestsFailed(1, "seen\n")
        assert git.commit("main") == tip

    def test_tests_without_end_are_killed_with_their_children(self, git: Git, tmp_path: Path) -> None:
        """At the time-out the whole process group of the test command is gone."""
        work(git, "t", {"t.txt": "t\n"})
        pid_file = tmp_path / "pid"
        outcome = merge(git, "octet/t", Suite(f"sleep 60 & echo $! > {shlex.quote(str(pid_file))}; wait", 0.5))
        assert isinstance(outcome, merging.TestsFailed)
        assert outcome.status is None
        poll(lambda: not alive(int(pid_file.read_text())))

    def test_a_long_output_is_cut_to_its_end(self, git: Git) -> None:
        """Only the last bytes of the output are kept, undecodable ones replaced."""
        failed = Suite("head -c 100000 /dev/zero; printf '\\377end'; exit 3", 30).run(git.directory)
        assert failed is not None
        assert failed.status == 3
        assert failed.tail.endswith("\ufffdend")
        assert len(failed.tail) <= merging.TAIL_BYTES

    def test_what_the_tests_do_to_their_tree_is_not_merged(self, git: Git) -> None:
        """A commit that the test command makes in the scratch worktree does not reach main."""
        work(git, "t", {"t.txt": "t\n"})
        suite = Suite("echo x > evil.txt; git add evil.txt; git commit -qm evil", 30)
        assert isinstance(merge(git, "octet/t", suite), Merged)
        assert not (git.directory / "evil.txt").exists()
        assert_in_step(git)

    @pytest.mark.parametrize("stage", [False, True])
    def test_a_dirty_checkout_refuses(self, git: Git, stage: bool) -> None:
        """Uncommitted changes where main is checked out stop the merge before its tests."""
        work(git, "t", {"t.txt": "t\n"})
        (git.directory / "base.txt").write_text("mine\n")
        if stage:
            git.out("add", "base.txt")
        tip = git.commit("main")
        outcome = merge(git, "octet/t", Suite("exit 9", 30))
        assert isinstance(outcome, MergeRefused)
        assert "uncommitted" in outcome.why
        assert git.commit("main") == tip
        assert (git.directory / "base.txt").read_text() == "mine\n"

    def test_an_unfinished_merge_in_the_checkout_refuses(self, git: Git) -> None:
        """A person's own merge that is resolved but not committed is not merged under."""
        work(git, "t", {"t.txt": "t\n"})
        work(git, "u", {"u.txt": "u\n"})
        git.out("merge", "--no-commit", "--no-ff", "--strategy=ours", "octet/u")
        assert isinstance(merge(git, "octet/t"), MergeRefused)

    def test_an_untracked_file_in_the_way_refuses(self, git: Git) -> None:
        """A file that the merge would overwrite keeps its content, and the branch stays with the index."""
        work(git, "t", {"t.txt": "theirs\n"})
        (git.directory / "t.txt").write_text("mine\n")
        tip = git.commit("main")
        outcome = merge(git, "octet/t")
        assert isinstance(outcome, MergeRefused)
        assert "t.txt" in outcome.why or "cannot follow" in outcome.why
        assert git.commit("main") == tip
        assert (git.directory / "t.txt").read_text() == "mine\n"
        assert_in_step(git)

    def test_a_file_that_was_only_touched_is_no_change(self, git: Git) -> None:
        """A new modification time on an unchanged file does not stop the checkout from following."""
        work(git, "t", {"base.txt": "t\n"})
        os.utime(git.directory / "base.txt", (1, 1))
        assert isinstance(merge(git, "octet/t"), Merged)
        assert_in_step(git)

    def test_a_branch_that_moved_meanwhile_is_not_overwritten(self, git: Git) -> None:
        """Main moves while the tests run: the swap is refused and the other's commit stays."""
        work(git, "t", {"t.txt": "t\n"})
        other = f"cd {shlex.quote(str(git.directory))} && echo x > other.txt && git add other.txt && git commit -qm other"
        outcome = merge(git, "octet/t", Suite(other, 30))
        assert isinstance(outcome, MergeRefused)
        assert git.out("log", "-1", "--format=%s", "main") == "other"
        assert_in_step(git)

    def test_a_fence_that_says_no_leaves_everything(self, git: Git) -> None:
        """A reference-transaction hook that refuses main's move keeps branch, index and files where they were."""
        work(git, "t", {"t.txt": "t\n"})
        install_hook(git, "reference-transaction", '[ "$1" = prepared ] && grep -q refs/heads/main && exit 1; exit 0')
        tip = git.commit("main")
        assert isinstance(merge(git, "octet/t"), MergeRefused)
        assert git.commit("main") == tip
        assert_in_step(git)
        assert not (git.directory / "t.txt").exists()

    def test_hooks_of_the_repository_do_not_run_on_the_combination(self, git: Git, tmp_path: Path) -> None:
        """A merge hook that would fail or hang is not asked."""
        work(git, "t", {"t.txt": "t\n"})
        for name in ("pre-merge-commit", "commit-msg", "post-checkout", "post-merge"):
            install_hook(git, name, f"touch {shlex.quote(str(tmp_path / 'ran'))}; exit 1")
        assert isinstance(merge(git, "octet/t"), Merged)
        assert not (tmp_path / "ran").exists()

    def test_two_merges_at_once(self, git: Git, tmp_path: Path) -> None:
        """While one merge tests, another in the same repository is refused."""
        work(git, "one", {"one.txt": "1\n"})
        work(git, "two", {"two.txt": "2\n"})
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(merge, git, "octet/one", Suite(f"echo > {fifo}; cat {fifo} > /dev/null", 30))
            fifo.read_text()  # returns when the tests of the first have begun
            assert isinstance(merge(git, "octet/two"), MergeRefused)
            fifo.write_text("go on")
            assert isinstance(first.result(30), Merged)
        assert isinstance(merge(git, "octet/two"), Merged)
        assert_in_step(git)

    def test_no_such_branch(self, git: Git) -> None:
        """Source or target that does not exist is refused with its name."""
        assert merge(git, "octet/nothing") == MergeRefused("there is no octet/nothing")

    def test_main_checked_out_twice(self, git: Git, tmp_path: Path) -> None:
        """A branch that two checkouts have cannot be brought along in both and is refused."""
        work(git, "t", {"t.txt": "t\n"})
        git.out("worktree", "add", "--force", str(tmp_path / "second"), "main")
        assert isinstance(merge(git, "octet/t"), MergeRefused)

    def test_a_redirected_environment_does_not_reach_merge_or_tests(
        self, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Run from inside a git hook of another repository, the merge still moves its own."""
        work(git, "t", {"t.txt": "t\n"})
        with monkeypatch.context() as redirected:
            redirected.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
            redirected.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
            outcome = merge(git, "octet/t", Suite('test -z "$GIT_DIR$GIT_INDEX_FILE" && git rev-parse HEAD', 30))
        assert isinstance(outcome, Merged)
        assert_in_step(git)

    def test_a_merge_killed_between_files_and_branch_is_taken_back(self, git: Git) -> None:
        """Files ahead of their branch, as SIGKILL can leave them, return to it at the next merge, which then succeeds."""
        work(git, "one", {"one.txt": "1\n", "base.txt": "one\n"})
        work(git, "two", {"two.txt": "2\n"})
        old = git.commit("main")
        ahead = git.out("commit-tree", "octet/one^{tree}", "-p", old, "-m", "combined")
        git.out("update-ref", "refs/octet/merging/main", ahead)
        git.out("read-tree", "-m", "-u", old, ahead)
        assert isinstance(merge(git, "octet/two"), Merged)
        assert not (git.directory / "one.txt").exists()
        assert_in_step(git)

    @pytest.mark.chaos
    def test_sigkill_at_any_moment(self, git: Git) -> None:
        """A merge killed anywhere leaves a repository in which the next merge succeeds and checkout and branch agree."""
        chance = random.Random(7)
        for round_number in range(12):
            work(git, f"t{round_number}", {f"{round_number}.txt": "x\n", "base.txt": f"{round_number}\n"})
            victim = start_merge(git, f"octet/t{round_number}")
            time.sleep(chance.uniform(0.1, 0.6))
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            outcome = settled_merge(git, f"octet/t{round_number}")
            assert isinstance(outcome, Merged), outcome
            assert_in_step(git)
        assert git.out("for-each-ref", "refs/octet") == ""


def start_merge(git: Git, source: str) -> subprocess.Popen[bytes]:
    code = (
        "import sys; from pathlib import Path; from octet.git import Git; from octet.merge import *; root = Path(sys.argv[1]);"
        "merge(Git(root), sys.argv[2], 'main', suite=Suite('true', 30), scratch=root.parent / 'trees', message='merge')"
    )
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    return subprocess.Popen([sys.executable, "-c", code, str(git.directory), source], env=environment)


def settled_merge(git: Git, source: str) -> Outcome:
    """Merge once the git commands that the killed merge had started have ended; they hold git's own locks until then."""
    outcome: Outcome = MergeRefused("not tried")

    def try_merge() -> bool:
        nonlocal outcome
        try:
            outcome = merge(git, source)
        except GitFailed as error:
            outcome = MergeRefused(str(error))
        return isinstance(outcome, Merged)

    poll(try_merge)
    return outcome


def install_hook(git: Git, name: str, body: str) -> None:
    path = git.directory / ".git" / "hooks" / name
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
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.05)
