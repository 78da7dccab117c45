"""The test gate: submitted work is combined with the protected branch, the project's tests run on
that, the evidence is kept; nothing moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from octet.client.api import Octet
from octet.core.tasks.record import Task
from octet.core.tasks.verdicts import NewRecord, Verdict
from octet.git.program import Git, GitFailed
from octet.merge.branch import ProtectedBranch
from octet.merge.combination import combine
from octet.merge.feedback import evidence_data
from octet.merge.model import (
    CannotMerge,
    Conflict,
    Evidence,
    MergeBlocked,
    MergeTarget,
    Strategy,
    TestsFailed,
    Unusable,
    Work,
)
from octet.merge.records import send_back, work_of
from octet.merge.settings import MergeSettings
from octet.merge.test_command import TestCommand
from octet.merge.worktree import free_test_worktree


@dataclass(frozen=True)
class GateResult:
    """What became of a task at the gate: `passed`, or sent back; `waiting` if the tests could not
    be run and the task waits again.
    """

    task: str
    passed: bool
    text: str
    waiting: bool = False
    evidence: Evidence | None = None


def run_test_gate(octet: Octet, settings: MergeSettings, task: Task) -> GateResult:
    """Run the tests on a task that the caller claimed for the gate; pass it on or send it back.

    Raises:
        StaleToken: the claim was lost while the tests ran; its new holder runs them again.
    """
    assert settings.test_command is not None
    work = work_of(task)
    found = combine_and_test(
        Git(settings.root),
        work,
        settings.target,
        strategy=settings.strategy,
        test_command=settings.test_command,
        directory=settings.directory,
    )
    if isinstance(found, MergeBlocked):
        octet.tasks.release(task.id, task.token, found.why)
        return GateResult(task.id, passed=False, text=found.why, waiting=True)
    evidence = found if isinstance(found, Evidence) else None
    if evidence and evidence.passed:
        return _pass_on(octet, settings, task, evidence)
    failed = TestsFailed(work, found) if isinstance(found, Evidence) else found
    text = send_back(octet, settings.target.branch, task, failed)
    return GateResult(task.id, passed=False, text=text, evidence=evidence)


def _pass_on(octet: Octet, settings: MergeSettings, task: Task, evidence: Evidence) -> GateResult:
    record = NewRecord(Verdict.PASS, evidence=evidence_data(evidence))
    proof = (
        f"{evidence.command}: passed in {evidence.duration_ms / 1000:.1f} s on "
        f"{settings.target.branch} at {evidence.onto[:12]}"
    )
    stage = octet.tasks.pass_on(task.id, task.token, proof, commit=task.commit, record=record)
    text = f"{task.id} passed ({proof}) and waits for the {stage} stage"
    return GateResult(task.id, passed=True, text=text, evidence=evidence)


def combine_and_test(
    git: Git,
    work: Work,
    target: MergeTarget,
    *,
    strategy: Strategy,
    test_command: TestCommand,
    directory: Path,
) -> Evidence | Conflict | Unusable | MergeBlocked:
    """Combine a work with the branch as it is and run the tests on that; nothing moves. Several may
    run at once.

    Raises:
        GitFailed: git is missing, or the directory is in no repository.
    """
    common, branch = git.common_dir(), ProtectedBranch(git, target)
    try:
        branch.fetch()
        tip = branch.read_tip()
        [resolved] = branch.resolve([work])
        if isinstance(resolved, Unusable):
            return resolved
        with free_test_worktree(git, common, directory.resolve()) as worktree:
            combination = combine(worktree, tip, strategy, [resolved])
            if combination.failed:
                return combination.failed[0]
            return test_command.run_on(worktree, combination, (resolved.commit,))
    except (CannotMerge, GitFailed) as error:
        return MergeBlocked(str(error))
