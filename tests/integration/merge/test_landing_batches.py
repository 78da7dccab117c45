"""Batches landed on real repositories: one merge for all, halved if the tests fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.repositories import (
    assert_in_step,
    commit,
    trees,
    work,
)

from octet.git.program import Git
from octet.git.worktrees import list_worktrees
from octet.merge.landing import land
from octet.merge.model import (
    Conflict,
    Landed,
    MergeBlocked,
    MergeTarget,
    Outcome,
    Strategy,
    TestsFailed,
    Work,
)
from octet.merge.test_command import TestCommand

PASSING = TestCommand("true", 30)
NOT_BAD = TestCommand("! ls | grep -q bad", 30)


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


def test_one_commit_on_the_line_for_all(git: Git) -> None:
    """A batch is tested once and comes in by one merge, which names every task; each work's own
    merge is behind it.
    """
    submitted = {task: work(git, task, {f"{task}.txt": "x\n"}) for task in ("one", "two", "three")}
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


def test_a_single_merge_of_a_batch_can_be_reverted(git: Git) -> None:
    """One task's work is taken out again and the others stay."""
    for task in ("one", "two"):
        work(git, task, {f"{task}.txt": "x\n"})
    outcome = land_batch(git, "one", "two")["one"]
    assert isinstance(outcome, Landed)
    git.out("revert", "--no-edit", "-m", "1", outcome.commit)
    assert sorted(path.name for path in git.directory.glob("*.txt")) == ["base.txt", "two.txt"]


@pytest.mark.parametrize("bad", [0, 2, 4])
def test_a_batch_that_fails_is_halved(git: Git, bad: int) -> None:
    """The work that breaks the tests goes back with its evidence; the others land, tested."""
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


def test_two_that_fail_only_together(git: Git) -> None:
    """The first comes in, the second is refused on top of it."""
    for task in ("one", "two"):
        work(git, task, {task: "x\n"})
    outcomes = land_batch(
        git, "one", "two", test_command=TestCommand("! { [ -e one ] && [ -e two ]; }", 30)
    )
    assert isinstance(outcomes["one"], Landed)
    assert isinstance(outcomes["two"], TestsFailed)


def test_a_conflict_with_the_branch_does_not_hold_up_the_others(git: Git) -> None:
    """It is named at once, and the rest of the batch lands together."""
    for task in ("one", "clash", "two"):
        work(git, task, {("base.txt" if task == "clash" else task): f"{task}\n"})
    tip = commit(git, {"base.txt": "moved on\n"})
    outcomes = land_batch(git, "one", "clash", "two")
    conflict = outcomes["clash"]
    assert isinstance(conflict, Conflict)
    assert (conflict.paths, conflict.onto) == (("base.txt",), tip)
    assert subjects(git)[0] == "Merge 2 tasks: one, two"


def test_a_conflict_within_the_batch_is_settled_by_who_lands(git: Git) -> None:
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


def test_one_that_is_in_another(git: Git) -> None:
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


def test_each_is_given_before_the_next_is_begun(git: Git) -> None:
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


def test_what_one_test_run_leaves_is_not_seen_by_the_next(git: Git) -> None:
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
def test_tests_that_ruin_their_worktree_reach_nothing_else(git: Git, ruin: str) -> None:
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
