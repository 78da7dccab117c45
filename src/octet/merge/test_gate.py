"""The test gate: submitted work combined with the protected branch, the project's tests run on
that, the evidence kept; nothing moves.
"""

from __future__ import annotations

from dataclasses import dataclass

from octet.client.api import Octet
from octet.core.tasks.record import Task
from octet.core.tasks.verdicts import NewRecord, Verdict
from octet.git.program import Git
from octet.merge.feedback import evidence_of, findings_of, first_line
from octet.merge.landing import try_out
from octet.merge.model import Conflict, TestsFailed, Unusable, Waiting
from octet.merge.queue import How, work_of
from octet.merge.test_command import Evidence


@dataclass(frozen=True)
class Judged:
    """What became of a task at the gate: `passed`, or sent back; `waiting` where the tests could
    not be run, and the task waits again.
    """

    task: str
    passed: bool
    text: str
    waiting: bool = False
    evidence: Evidence | None = None


def judge(octet: Octet, how: How, task: Task) -> Judged:
    """Run the tests on a task that the caller has claimed for the gate, and pass it on or send it
    back.

    Raises:
        StaleToken: the claim was lost while the tests ran; they are to be run again by whoever has
            it now.
    """
    assert how.suite is not None
    work = work_of(task)
    tried = try_out(
        Git(how.root), work, how.target, strategy=how.strategy, suite=how.suite, scratch=how.scratch
    )
    if isinstance(tried, Waiting):
        octet.tasks.release(task.id, task.token, tried.why)
        return Judged(task.id, passed=False, text=tried.why, waiting=True)
    if isinstance(tried, Evidence) and tried.passed:
        record = NewRecord(Verdict.PASS, evidence=evidence_of(tried))
        proof = (
            f"{tried.command}: passed in {tried.duration_ms / 1000:.1f} s on {how.target.branch} "
            f"at {tried.onto[:12]}"
        )
        stage = octet.tasks.pass_on(task.id, task.token, proof, commit=task.commit, record=record)
        return Judged(
            task.id,
            passed=True,
            text=f"{task.id} passed ({proof}) and waits for the {stage} stage",
            evidence=tried,
        )
    failed: Conflict | TestsFailed | Unusable = (
        TestsFailed(work, tried) if isinstance(tried, Evidence) else tried
    )
    found, record = findings_of(failed, how.target.branch)
    octet.tasks.send_back(task.id, task.token, found, commit=task.commit, record=record)
    evidence = tried if isinstance(tried, Evidence) else None
    return Judged(
        task.id,
        passed=False,
        text=f"{task.id} goes back to its developer: {first_line(found)}",
        evidence=evidence,
    )
