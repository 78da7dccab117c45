"""What the demo takes for proof: records of every gate, and a branch that moved from one tested
tree to the next.
"""

from __future__ import annotations

import pytest

from octet.core.tasks.record import Task
from octet.core.tasks.verdicts import Record
from octet.demo.checks import BranchStep, check_moves, check_records

TASK = Task("t", "A task", "done", author="developer-1", commit="c")


def record(
    gate: str, verdict: str, *, by: str = "somebody-1", commit: str = "c", status: int = 0
) -> Record:
    evidence = {"exit_code": status, "tree": "tree"} if verdict == "merged" else None
    return Record(1, gate, verdict, by, commit, 1, evidence=evidence)


APPROVED, TESTED, MERGED = (
    record("review", "approve"),
    record("test", "pass"),
    record("merge", "merged"),
)


def test_every_gate_is_on_record() -> None:
    """Nothing is missing where the task's commit was approved, tested and merged, whatever was sent
    back before.
    """
    assert (
        check_records({TASK: [record("review", "changes", commit="b"), APPROVED, TESTED, MERGED]})
        == []
    )


@pytest.mark.parametrize(
    ("records", "missing"),
    [
        ([TESTED, MERGED], "approve by the review gate"),
        ([record("review", "approve", commit="b"), TESTED, MERGED], "approve by the review gate"),
        (
            [record("review", "approve", by="developer-1"), TESTED, MERGED],
            "approve by the review gate",
        ),
        ([APPROVED, record("test", "fail"), MERGED], "pass by the test gate"),
    ],
    ids=["no review", "of another commit", "by its author", "failed"],
)
def test_what_is_missing_is_named(records: list[Record], missing: str) -> None:
    """A verdict counts only for the very commit, and from another agent than the author."""
    (problem,) = check_records({TASK: records})
    assert missing in problem


@pytest.mark.parametrize(
    ("moves", "status", "problems"),
    [
        ([BranchStep("m", "tree", ("t",))], 0, 0),
        ([BranchStep("m", "tree", ("t",))], 1, 1),
        ([BranchStep("m", "other", ("t",))], 0, 1),
        ([BranchStep("m", "tree", ())], 0, 1),
        ([BranchStep("n", "tree", ("t",)), BranchStep("m", "tree", ("t",))], 0, 1),
        ([BranchStep("n", "tree", ("t",)), BranchStep("m", "tree", ())], 0, 1),
    ],
    ids=[
        "as it should be",
        "the tests failed",
        "another tree",
        "of no task",
        "twice",
        "by somebody else, too",
    ],
)
def test_a_branch_moves_by_merges_to_tested_trees(
    moves: list[BranchStep], status: int, problems: int
) -> None:
    """Each task comes once, each move is a merge's, each tree has passed the tests."""
    assert len(check_moves(moves, {TASK: [record("merge", "merged", status=status)]})) == problems
