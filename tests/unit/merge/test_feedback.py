"""Feedback on outcomes: what the developer reads, and what the record keeps."""

from __future__ import annotations

from dataclasses import replace

from octet.core.tasks.verdicts import Verdict
from octet.merge.feedback import MAX_OUTPUT, evidence_data, first_line, write_feedback
from octet.merge.model import Conflict, Evidence, TestsFailed, Unusable, Work

WORK = Work("7", "Add the table", "c" * 40)
EVIDENCE = Evidence("sh check.sh", ("c" * 40,), "o" * 40, "m" * 40, "t" * 40, 1, 5, 6, "boom\n")


def test_a_conflict_says_where_and_what_to_do() -> None:
    """Paths are made plain; the record has the finding without the advice."""
    text, record = write_feedback(Conflict(WORK, ("a.py", "b\x1b.py"), "o" * 40), "main")
    assert text.startswith(f"conflicts with main at {'o' * 12} in a.py, b")
    assert "`git merge main` in your worktree" in text
    assert "\x1b" not in text
    assert record.verdict == Verdict.CONFLICT
    assert "git merge" not in record.text()


def test_failed_tests_come_with_the_end_of_their_output() -> None:
    """A time-out is said so; the output is bounded."""
    text, record = write_feedback(TestsFailed(WORK, EVIDENCE), "main")
    assert first_line(text) == (
        f"`sh check.sh` ended with 1 on main at {'o' * 12} with {'c' * 12} merged"
    )
    assert text.endswith("merged:\nboom\n")
    assert (record.verdict, record.evidence) == (Verdict.FAIL, evidence_data(EVIDENCE))
    long = replace(EVIDENCE, status=None, tail="x" * 4000)
    text, _ = write_feedback(TestsFailed(WORK, long), "main")
    assert "did not end in time" in text
    assert text.endswith("\n" + "x" * MAX_OUTPUT)


def test_unusable_work_gives_its_reason() -> None:
    """Text and record are the reason."""
    text, record = write_feedback(Unusable(WORK, "there is no commit"), "main")
    assert (text, record.text(), record.verdict) == (
        "there is no commit",
        "there is no commit",
        Verdict.FAIL,
    )


def test_no_evidence_is_none() -> None:
    """Work that landed without a test run keeps no evidence."""
    assert evidence_data(None) is None
