"""Landings on real repositories: what moves, what must stay, and the outcome of each work."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.repositories import (
    alive,
    assert_in_step,
    commit,
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
NOT_BAD = TestCommand("! ls | grep -q bad", 30)


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


def start(git: Git, *tasks: str, test_command: TestCommand | None = PASSING) -> Iterator[Outcome]:
    works = [Work(task, f"do {task}", git.commit(f"octet/{task}")) for task in tasks]
    return land(
        git,
        works,
        MergeTarget("main"),
        strategy=Strategy.MERGE,
        test_command=test_command,
        directory=trees(git),
    )


def land_batch(
    git: Git, *tasks: str, test_command: TestCommand | None = PASSING
) -> dict[str, Outcome]:
    outcomes = list(start(git, *tasks, test_command=test_command))
    return {
        "" if isinstance(outcome, MergeBlocked) else outcome.work.task: outcome
        for outcome in outcomes
    }


def subjects(git: Git) -> list[str]:
    return git.out("log", "--first-parent", "--format=%s", "main").splitlines()


def trailers(git: Git, revision: str, key: str) -> list[str]:
    return git.out("log", "-1", f"--format=%(trailers:key={key},valueonly)", revision).split()


class TestOneWork:
    def test_passing_work_moves_branch_index_and_files(self, git: Git) -> None:
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

    def test_nothing_is_left_behind(self, git: Git) -> None:
        """After a merge there is no merge worktree and no marker."""
        work(git, "t", {"t.txt": "t\n"})
        land_one(git, "octet/t")
        assert {tree.branch for tree in list_worktrees(git)} == {"main", "octet/t"}
        assert git.out("for-each-ref", "refs/octet") == ""

    def test_main_checked_out_nowhere(self, git: Git) -> None:
        """A checkout on another branch stays as it is."""
        work(git, "t", {"t.txt": "t\n"})
        git.out("checkout", "--quiet", "-b", "mine")
        (git.directory / "base.txt").write_text("in the middle of something")
        assert isinstance(land_one(git, "octet/t"), Landed)
        assert git.contains("main", "octet/t")
        assert (git.directory / "base.txt").read_text() == "in the middle of something"

    def test_work_that_main_has_already(self, git: Git) -> None:
        """A guardian that died after its merge finds it made and moves nothing."""
        work(git, "t", {"t.txt": "t\n"})
        land_one(git, "octet/t")
        tip = git.commit("main")
        outcome = land_one(git, "octet/t", TestCommand("false", 30))
        assert isinstance(outcome, Landed)
        assert (outcome.commit, outcome.tip, outcome.evidence) == (tip, tip, None)
        assert git.commit("main") == tip

    def test_a_conflict_names_its_files(self, git: Git) -> None:
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

    def test_tests_see_the_combined_tree(self, git: Git) -> None:
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

    def test_tests_without_end_are_killed_with_their_children(
        self, git: Git, tmp_path: Path
    ) -> None:
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

    def test_what_the_tests_do_to_their_tree_is_not_merged(self, git: Git) -> None:
        """A commit that the test command makes in the merge worktree does not reach main."""
        work(git, "t", {"t.txt": "t\n"})
        test_command = TestCommand("echo x > evil.txt; git add evil.txt; git commit -qm evil", 30)
        assert isinstance(land_one(git, "octet/t", test_command), Landed)
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
        outcome = land_one(git, "octet/t", TestCommand("exit 9", 30))
        assert isinstance(outcome, MergeBlocked)
        assert "uncommitted" in outcome.why
        assert git.commit("main") == tip
        assert (git.directory / "base.txt").read_text() == "mine\n"

    def test_an_unfinished_merge_in_the_checkout_refuses(self, git: Git) -> None:
        """A person's own merge that is resolved but not committed is not merged under."""
        work(git, "t", {"t.txt": "t\n"})
        work(git, "u", {"u.txt": "u\n"})
        git.out("merge", "--no-commit", "--no-ff", "--strategy=ours", "octet/u")
        assert isinstance(land_one(git, "octet/t"), MergeBlocked)

    def test_an_untracked_file_in_the_way_refuses(self, git: Git) -> None:
        """A file that the merge would overwrite keeps its content, and the branch stays with the
        index.
        """
        work(git, "t", {"t.txt": "theirs\n"})
        (git.directory / "t.txt").write_text("mine\n")
        tip = git.commit("main")
        outcome = land_one(git, "octet/t")
        assert isinstance(outcome, MergeBlocked)
        assert "untracked files in the way: t.txt" in outcome.why
        assert git.commit("main") == tip
        assert (git.directory / "t.txt").read_text() == "mine\n"
        assert_in_step(git)

    def test_a_file_that_was_only_touched_is_no_change(self, git: Git) -> None:
        """The checkout follows although an unchanged file has a new modification time."""
        work(git, "t", {"base.txt": "t\n"})
        os.utime(git.directory / "base.txt", (1, 1))
        assert isinstance(land_one(git, "octet/t"), Landed)
        assert_in_step(git)

    def test_a_branch_that_moved_meanwhile_is_not_overwritten(self, git: Git) -> None:
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

    def test_a_branch_that_always_moves_is_left_for_later(self, git: Git) -> None:
        """A person who commits to main during every test run is not raced for ever."""
        work(git, "t", {"t.txt": "t\n"})
        there = f"cd {shlex.quote(str(git.directory))} && git commit --allow-empty -qm other"
        outcome = land_one(git, "octet/t", TestCommand(there, 30))
        assert isinstance(outcome, MergeBlocked)
        assert "moved main" in outcome.why
        assert git.out("log", "-1", "--format=%s", "main") == "other"
        assert_in_step(git)

    def test_a_fence_that_says_no_leaves_everything(self, git: Git) -> None:
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

    def test_hooks_of_the_repository_do_not_run_on_the_combination(
        self, git: Git, tmp_path: Path
    ) -> None:
        """A merge hook that would fail or hang is not asked."""
        work(git, "t", {"t.txt": "t\n"})
        for name in ("pre-merge-commit", "commit-msg", "post-checkout", "post-merge"):
            install_hook(git, name, f"touch {shlex.quote(str(tmp_path / 'ran'))}; exit 1")
        assert isinstance(land_one(git, "octet/t"), Landed)
        assert not (tmp_path / "ran").exists()

    def test_two_merges_at_once(self, git: Git, tmp_path: Path) -> None:
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

    def test_no_such_branch(self, git: Git) -> None:
        """Source or target that does not exist is refused with its name."""
        outcome = land_one(git, "octet/nothing")
        assert isinstance(outcome, Unusable)
        assert "no commit octet/nothing" in outcome.why
        work(git, "t", {"t.txt": "t\n"})
        assert land_one(git, "octet/t", branch="trunk") == MergeBlocked(
            "there is no branch trunk: make its first commit"
        )

    def test_main_checked_out_twice(self, git: Git, tmp_path: Path) -> None:
        """A branch that two checkouts have cannot be brought along in both and is refused."""
        work(git, "t", {"t.txt": "t\n"})
        git.out("worktree", "add", "--force", str(tmp_path / "second"), "main")
        assert isinstance(land_one(git, "octet/t"), MergeBlocked)

    def test_a_redirected_environment_does_not_reach_merge_or_tests(
        self, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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

    def test_a_merge_killed_between_files_and_branch_is_taken_back(self, git: Git) -> None:
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


class TestBatches:
    def test_one_commit_on_the_line_for_all(self, git: Git) -> None:
        """A batch is tested once and comes in by one merge, which names every task; each work's own
        merge is behind it.
        """
        submitted = {
            task: work(git, task, {f"{task}.txt": "x\n"}) for task in ("one", "two", "three")
        }
        before = git.commit("main")
        outcomes = land_batch(git, *submitted)
        tip = git.commit("main")
        assert git.out("rev-list", "--first-parent", "main").split() == [tip, before]
        assert subjects(git)[0] == "Merge 3 tasks: one, two, three"
        assert trailers(git, "main", "Octet-Task") == ["one", "two", "three"]
        assert trailers(git, "main", "Octet-Commit") == list(submitted.values())
        for task, outcome in outcomes.items():
            assert isinstance(outcome, Landed)
            assert outcome.tip == tip
            assert git.commit(f"{outcome.commit}^2") == submitted[task]
            assert trailers(git, outcome.commit, "Octet-Task") == [task]
            assert outcome.evidence is not None
            assert (outcome.evidence.commits, outcome.evidence.onto) == (
                tuple(submitted.values()),
                before,
            )
            assert outcome.evidence.combined == tip
            assert outcome.evidence.tree == git.out("rev-parse", "main^{tree}")
        assert_in_step(git)

    def test_a_single_merge_of_a_batch_can_be_reverted(self, git: Git) -> None:
        """One task's work is taken out again and the others stay."""
        for task in ("one", "two"):
            work(git, task, {f"{task}.txt": "x\n"})
        outcome = land_batch(git, "one", "two")["one"]
        assert isinstance(outcome, Landed)
        git.out("revert", "--no-edit", "-m", "1", outcome.commit)
        assert sorted(path.name for path in git.directory.glob("*.txt")) == ["base.txt", "two.txt"]

    @pytest.mark.parametrize("bad", [0, 2, 4])
    def test_a_batch_that_fails_is_halved(self, git: Git, bad: int) -> None:
        """The one that breaks the tests is found and goes back with its evidence; the others land,
        tested.
        """
        tasks = [f"t{number}" for number in range(5)]
        for number, task in enumerate(tasks):
            work(git, task, {f"bad-{task}" if number == bad else task: "x\n"})
        outcomes = land_batch(git, *tasks, test_command=NOT_BAD)
        failed = outcomes.pop(f"t{bad}")
        assert isinstance(failed, TestsFailed)
        assert failed.evidence.commits == (git.commit(f"octet/t{bad}"),)
        assert all(isinstance(outcome, Landed) for outcome in outcomes.values())
        assert not list(git.directory.glob("bad*"))
        assert_in_step(git)

    def test_two_that_fail_only_together(self, git: Git) -> None:
        """The first comes in, the second is refused on top of it."""
        for task in ("one", "two"):
            work(git, task, {task: "x\n"})
        outcomes = land_batch(
            git, "one", "two", test_command=TestCommand("! { [ -e one ] && [ -e two ]; }", 30)
        )
        assert isinstance(outcomes["one"], Landed)
        assert isinstance(outcomes["two"], TestsFailed)

    def test_a_conflict_with_the_branch_does_not_hold_up_the_others(self, git: Git) -> None:
        """It is named at once, and the rest of the batch lands together."""
        for task in ("one", "clash", "two"):
            work(git, task, {("base.txt" if task == "clash" else task): f"{task}\n"})
        tip = commit(git, {"base.txt": "moved on\n"})
        outcomes = land_batch(git, "one", "clash", "two")
        conflict = outcomes["clash"]
        assert isinstance(conflict, Conflict)
        assert (conflict.paths, conflict.onto) == (("base.txt",), tip)
        assert subjects(git)[0] == "Merge 2 tasks: one, two"

    def test_a_conflict_within_the_batch_is_settled_by_who_lands(self, git: Git) -> None:
        """Where the earlier work lands, the later conflicts with the branch; where the earlier
        fails its tests, the later lands.
        """
        work(git, "good", {"base.txt": "good\n"})
        work(git, "late", {"base.txt": "late\n"})
        outcomes = land_batch(git, "good", "late", test_command=NOT_BAD)
        assert isinstance(outcomes["good"], Landed)
        assert isinstance(outcomes["late"], Conflict)
        work(git, "worse", {"new.txt": "worse\n", "bad": "x\n"})
        work(git, "later", {"new.txt": "later\n"})
        outcomes = land_batch(git, "worse", "later", test_command=NOT_BAD)
        assert isinstance(outcomes["worse"], TestsFailed)
        assert isinstance(outcomes["later"], Landed)

    def test_one_that_is_in_another(self, git: Git) -> None:
        """Work built on other work of the same batch, in either order, and the same commit twice,
        land once.
        """
        work(git, "low", {"low": "x\n"})
        git.out("branch", "octet/high", "octet/low")
        git.out("checkout", "--quiet", "octet/high")
        commit(git, {"high": "x\n"})
        git.out("checkout", "--quiet", "main")
        git.out("branch", "octet/same", "octet/high")
        outcomes = land_batch(git, "high", "low", "same")
        assert all(isinstance(outcome, Landed) for outcome in outcomes.values())
        assert len(git.out("rev-list", "--merges", "main").split()) == 1

    def test_each_is_given_before_the_next_is_begun(self, git: Git) -> None:
        """A caller that stops after the first outcome of a halved batch finds the branch where that
        outcome says, and nothing left.
        """
        for task in ("one", "bad"):
            work(git, task, {task: "x\n"})
        outcomes = start(git, "one", "bad", test_command=NOT_BAD)
        first = next(outcomes)
        assert isinstance(first, Landed)
        assert git.commit("main") == first.tip
        outcomes.close()  # type: ignore[attr-defined]
        assert len(list_worktrees(git)) == 3
        assert isinstance(land_batch(git, "bad", test_command=NOT_BAD)["bad"], TestsFailed)

    def test_what_one_test_run_leaves_is_not_seen_by_the_next(self, git: Git) -> None:
        """The worktree is used again within a landing, and clean each time: ignored files, branches
        and all.
        """
        for task in ("one", "bad", "two"):
            work(git, task, {task: "x\n"})
        test_command = TestCommand(
            "test -e left && exit 1; git checkout -qb mine; touch left; echo left > "
            ".gitignore; echo x > base.txt; ! test -e bad",
            30,
        )
        outcomes = land_batch(git, "one", "bad", "two", test_command=test_command)
        assert {task for task, outcome in outcomes.items() if isinstance(outcome, Landed)} == {
            "one",
            "two",
        }
        assert git.commit("mine") not in git.out("rev-list", "--first-parent", "main").split()[:1]

    @pytest.mark.parametrize(
        "ruin",
        [
            "rm .git",
            "rm .git && git init -q && git commit --allow-empty -qm x",
            "cd .. && rm -rf octet-merge",
        ],
    )
    def test_tests_that_ruin_their_worktree_reach_nothing_else(self, git: Git, ruin: str) -> None:
        """With its `.git` gone, git would take the repository around it: the person's checkout
        stays as it is.
        """
        inside = git.directory / "trees"
        for task in ("one", "bad"):
            work(git, task, {task: "x\n"})
        (git.directory / "precious").write_text("untracked")
        works = [Work(task, task, git.commit(f"octet/{task}")) for task in ("one", "bad")]
        test_command = TestCommand(f"test -e bad; bad=$?; {{ {ruin}; }}; test $bad = 1", 30)
        first, second = land(
            git,
            works,
            MergeTarget("main"),
            strategy=Strategy.MERGE,
            test_command=test_command,
            directory=inside,
        )
        assert isinstance(first, Landed)
        assert isinstance(second, TestsFailed)
        assert (git.directory / "precious").read_text() == "untracked"
        assert git.out("symbolic-ref", "HEAD") == "refs/heads/main"
        assert_in_step(git)
