"""Landings on real repositories: what moves, what must stay, and the outcome of each work."""

from __future__ import annotations

import json
import os
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.repositories import (
    alive,
    assert_in_step,
    install_hook,
    poll,
    trees,
    work,
)

from octet.git.program import Git
from octet.git.worktrees import list_worktrees
from octet.merge import move_record
from octet.merge.landing import land
from octet.merge.model import (
    Conflict,
    Landed,
    MergeBlocked,
    MergeTarget,
    Outcome,
    Strategy,
    TestsFailed,
    Unusable,
    Work,
)
from octet.merge.test_command import TestCommand

PASSING = TestCommand("true", 30)


def land_one(
    git: Git, source: str, test_command: TestCommand | None = PASSING, *, branch: str = "main"
) -> Outcome:
    works = [Work("t", f"do {source}", source)]
    (outcome,) = land(
        git,
        works,
        MergeTarget(branch),
        strategy=Strategy.MERGE,
        test_command=test_command,
        directory=trees(git),
    )
    return outcome


def test_passing_work_moves_branch_index_and_files(git: Git) -> None:
    """The checkout that has main follows to the new commit, untracked files untouched."""
    before = git.commit("main")
    submitted = work(git, "t", {"t.txt": "t\n", "base.txt": "changed\n"})
    (git.directory / "notes.txt").write_text("mine")
    outcome = land_one(git, submitted)
    assert isinstance(outcome, Landed)
    assert outcome.tip == outcome.commit == git.commit("main")
    assert git.commit("main^1") == before
    assert git.contains("main", submitted)
    assert (git.directory / "t.txt").read_text() == "t\n"
    assert (git.directory / "notes.txt").read_text() == "mine"
    assert_in_step(git)


def test_nothing_is_left_behind(git: Git) -> None:
    """After a merge there is no merge worktree and no marker."""
    work(git, "t", {"t.txt": "t\n"})
    land_one(git, "octet/t")
    assert {tree.branch for tree in list_worktrees(git)} == {"main", "octet/t"}
    assert git.out("for-each-ref", "refs/octet") == ""


def test_main_checked_out_nowhere(git: Git) -> None:
    """A checkout on another branch stays as it is."""
    work(git, "t", {"t.txt": "t\n"})
    git.out("checkout", "--quiet", "-b", "mine")
    (git.directory / "base.txt").write_text("in the middle of something")
    assert isinstance(land_one(git, "octet/t"), Landed)
    assert git.contains("main", "octet/t")
    assert (git.directory / "base.txt").read_text() == "in the middle of something"


def test_work_that_main_has_already(git: Git) -> None:
    """A guardian that died after its merge finds it made and moves nothing."""
    work(git, "t", {"t.txt": "t\n"})
    land_one(git, "octet/t")
    tip = git.commit("main")
    outcome = land_one(git, "octet/t", TestCommand("false", 30))
    assert isinstance(outcome, Landed)
    assert (outcome.commit, outcome.tip, outcome.evidence) == (tip, tip, None)
    assert git.commit("main") == tip


def test_a_conflict_names_its_files(git: Git) -> None:
    """Both sides changed the same lines: the paths come back, nothing moves."""
    work(git, "one", {"base.txt": "one\n", "naïve name.txt": "one\n"})
    work(git, "two", {"base.txt": "two\n", "naïve name.txt": "two\n"})
    land_one(git, "octet/one")
    tip = git.commit("main")
    outcome = land_one(git, "octet/two")
    assert isinstance(outcome, Conflict)
    assert (outcome.paths, outcome.onto) == (("base.txt", "naïve name.txt"), tip)
    assert git.commit("main") == tip
    assert_in_step(git)


def test_tests_see_the_combined_tree(git: Git) -> None:
    """Two branches that pass alone and fail together do not both get in."""
    work(git, "one", {"one.txt": "1\n"})
    work(git, "two", {"two.txt": "2\n"})
    not_both = TestCommand("echo seen; ! { [ -e one.txt ] && [ -e two.txt ]; }", 30)
    assert isinstance(land_one(git, "octet/one", not_both), Landed)
    tip = git.commit("main")
    outcome = land_one(git, "octet/two", not_both)
    assert isinstance(outcome, TestsFailed)
    assert (outcome.evidence.status, outcome.evidence.tail) == (1, "seen\n")
    assert git.commit("main") == tip


def test_tests_without_end_are_killed_with_their_children(git: Git, tmp_path: Path) -> None:
    """At the time-out the whole process group of the test command is gone."""
    work(git, "t", {"t.txt": "t\n"})
    pid_file = tmp_path / "pid"
    outcome = land_one(
        git,
        "octet/t",
        TestCommand(f"sleep 60 & echo $! > {shlex.quote(str(pid_file))}; wait", 0.5),
    )
    assert isinstance(outcome, TestsFailed)
    assert outcome.evidence.status is None
    poll(lambda: not alive(int(pid_file.read_text())))


def test_what_the_tests_do_to_their_tree_is_not_merged(git: Git) -> None:
    """A commit that the test command makes in the merge worktree does not reach main."""
    work(git, "t", {"t.txt": "t\n"})
    test_command = TestCommand("echo x > evil.txt; git add evil.txt; git commit -qm evil", 30)
    assert isinstance(land_one(git, "octet/t", test_command), Landed)
    assert not (git.directory / "evil.txt").exists()
    assert_in_step(git)


@pytest.mark.parametrize("stage", [False, True])
def test_a_dirty_checkout_refuses(git: Git, stage: bool) -> None:
    """Uncommitted changes where main is checked out stop the merge before its tests."""
    work(git, "t", {"t.txt": "t\n"})
    (git.directory / "base.txt").write_text("mine\n")
    if stage:
        git.out("add", "base.txt")
    tip = git.commit("main")
    outcome = land_one(git, "octet/t", TestCommand("exit 9", 30))
    assert isinstance(outcome, MergeBlocked)
    assert "uncommitted" in outcome.why
    assert git.commit("main") == tip
    assert (git.directory / "base.txt").read_text() == "mine\n"


def test_an_unfinished_merge_in_the_checkout_refuses(git: Git) -> None:
    """A person's own merge that is resolved but not committed is not merged under."""
    work(git, "t", {"t.txt": "t\n"})
    work(git, "u", {"u.txt": "u\n"})
    git.out("merge", "--no-commit", "--no-ff", "--strategy=ours", "octet/u")
    assert isinstance(land_one(git, "octet/t"), MergeBlocked)


def test_an_untracked_file_in_the_way_refuses(git: Git) -> None:
    """A file that the merge would overwrite keeps its content; branch and index stay."""
    work(git, "t", {"t.txt": "theirs\n"})
    (git.directory / "t.txt").write_text("mine\n")
    tip = git.commit("main")
    outcome = land_one(git, "octet/t")
    assert isinstance(outcome, MergeBlocked)
    assert "untracked files in the way: t.txt" in outcome.why
    assert git.commit("main") == tip
    assert (git.directory / "t.txt").read_text() == "mine\n"
    assert_in_step(git)


def test_a_file_that_was_only_touched_is_no_change(git: Git) -> None:
    """The checkout follows although an unchanged file has a new modification time."""
    work(git, "t", {"base.txt": "t\n"})
    os.utime(git.directory / "base.txt", (1, 1))
    assert isinstance(land_one(git, "octet/t"), Landed)
    assert_in_step(git)


def test_a_branch_that_moved_meanwhile_is_not_overwritten(git: Git) -> None:
    """Main moves while the tests run: the swap is refused, the other's commit stays, and the
    work is tested on top of it.
    """
    work(git, "t", {"t.txt": "t\n"})
    there = (
        f"cd {shlex.quote(str(git.directory))} && echo x > other.txt && git add other.txt && "
        "git commit -qm other"
    )
    outcome = land_one(git, "octet/t", TestCommand(f"test -e other.txt || {{ {there}; }}", 30))
    assert isinstance(outcome, Landed)
    assert outcome.evidence is not None
    assert outcome.evidence.onto == git.commit("main^1")
    assert git.out("log", "-1", "--format=%s", "main^1") == "other"
    assert_in_step(git)


def test_a_branch_that_always_moves_is_left_for_later(git: Git) -> None:
    """A person who commits to main during every test run is not raced for ever."""
    work(git, "t", {"t.txt": "t\n"})
    there = f"cd {shlex.quote(str(git.directory))} && git commit --allow-empty -qm other"
    outcome = land_one(git, "octet/t", TestCommand(there, 30))
    assert isinstance(outcome, MergeBlocked)
    assert "moved main" in outcome.why
    assert git.out("log", "-1", "--format=%s", "main") == "other"
    assert_in_step(git)


def test_a_fence_that_says_no_leaves_everything(git: Git) -> None:
    """A reference-transaction hook that refuses main's move keeps branch, index and files where
    they were.
    """
    work(git, "t", {"t.txt": "t\n"})
    install_hook(
        git,
        "reference-transaction",
        '[ "$1" = prepared ] && grep -q refs/heads/main && exit 1; exit 0',
    )
    tip = git.commit("main")
    assert isinstance(land_one(git, "octet/t"), MergeBlocked)
    assert git.commit("main") == tip
    assert_in_step(git)
    assert not (git.directory / "t.txt").exists()


def test_hooks_of_the_repository_do_not_run_on_the_combination(git: Git, tmp_path: Path) -> None:
    """A merge hook that would fail or hang is not asked."""
    work(git, "t", {"t.txt": "t\n"})
    for name in ("pre-merge-commit", "commit-msg", "post-checkout", "post-merge"):
        install_hook(git, name, f"touch {shlex.quote(str(tmp_path / 'ran'))}; exit 1")
    assert isinstance(land_one(git, "octet/t"), Landed)
    assert not (tmp_path / "ran").exists()


def test_two_merges_at_once(git: Git, tmp_path: Path) -> None:
    """While one merge tests, another in the same repository is refused."""
    work(git, "one", {"one.txt": "1\n"})
    work(git, "two", {"two.txt": "2\n"})
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(
            land_one,
            git,
            "octet/one",
            TestCommand(f"echo > {fifo}; cat {fifo} > /dev/null", 30),
        )
        fifo.read_text()  # returns when the tests of the first have begun
        assert isinstance(land_one(git, "octet/two"), MergeBlocked)
        fifo.write_text("go on")
        assert isinstance(first.result(30), Landed)
    assert isinstance(land_one(git, "octet/two"), Landed)
    assert_in_step(git)


def test_no_such_branch(git: Git) -> None:
    """Source or target that does not exist is refused with its name."""
    outcome = land_one(git, "octet/nothing")
    assert isinstance(outcome, Unusable)
    assert "no commit octet/nothing" in outcome.why
    work(git, "t", {"t.txt": "t\n"})
    assert land_one(git, "octet/t", branch="trunk") == MergeBlocked(
        "there is no branch trunk: make its first commit"
    )


def test_main_checked_out_twice(git: Git, tmp_path: Path) -> None:
    """A branch that two checkouts have cannot be brought along in both and is refused."""
    work(git, "t", {"t.txt": "t\n"})
    git.out("worktree", "add", "--force", str(tmp_path / "second"), "main")
    assert isinstance(land_one(git, "octet/t"), MergeBlocked)


def test_a_redirected_environment_does_not_reach_merge_or_tests(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run from inside a git hook of another repository, the merge still moves its own."""
    work(git, "t", {"t.txt": "t\n"})
    with monkeypatch.context() as redirected:
        redirected.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
        redirected.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
        outcome = land_one(
            git,
            "octet/t",
            TestCommand('test -z "$GIT_DIR$GIT_INDEX_FILE" && git rev-parse HEAD', 30),
        )
    assert isinstance(outcome, Landed)
    assert_in_step(git)


def test_a_merge_killed_between_files_and_branch_is_taken_back(git: Git) -> None:
    """Files ahead of their branch, as SIGKILL can leave them, return to it at the next merge,
    which then succeeds.
    """
    work(git, "one", {"one.txt": "1\n", "base.txt": "one\n"})
    work(git, "two", {"two.txt": "2\n"})
    old = git.commit("main")
    ahead = git.out("commit-tree", "octet/one^{tree}", "-p", old, "-m", "combined")
    record = {"branch": "main", "old": old, "new": ahead}
    (git.directory / ".git" / move_record.RECORD).write_text(json.dumps(record))
    git.out("read-tree", "-m", "-u", old, ahead)
    assert isinstance(land_one(git, "octet/two"), Landed)
    assert not (git.directory / "one.txt").exists()
    assert_in_step(git)
