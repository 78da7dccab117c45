"""What becomes of a task after its landing: its record, its next state, and the clean-up."""

from __future__ import annotations

from dataclasses import dataclass

from octet.base.errors import StaleToken
from octet.client.api import Octet
from octet.core.tasks.record import Task
from octet.core.tasks.verdicts import NewRecord, Verdict
from octet.git.program import Git
from octet.git.remote import Remote
from octet.git.worktrees import BRANCH_PREFIX
from octet.merge.feedback import evidence_data, first_line, write_feedback
from octet.merge.model import Conflict, Landed, TestsFailed, Unusable, Work
from octet.merge.settings import MergeSettings
from octet.worktree.removal import clean_up_merged


@dataclass(frozen=True)
class MergeReport:
    """Something that happened, for people in `text`. `kind` is merged, returned, foreseen or
    waiting; `task` is "" for waiting.
    """

    kind: str
    text: str
    task: str = ""
    commit: str = ""


def work_of(task: Task) -> Work:
    """What a submitted task brings."""
    return Work(task.id, task.title, task.commit, task.branch)


def record_outcome(
    octet: Octet,
    settings: MergeSettings,
    task: Task,
    outcome: Landed | Conflict | TestsFailed | Unusable,
) -> MergeReport:
    """Complete a task whose work has landed, or send it back to its developer."""
    try:
        if isinstance(outcome, Landed):
            return _complete(octet, settings, task, outcome)
        text = send_back(octet, settings.target.branch, task, outcome)
        return MergeReport("returned", text, task.id)
    except StaleToken:  # the next holder's merge finds what has landed
        text = f"the claim on {task.id} was lost: its new holder merges it"
        return MergeReport("returned", text, task.id)


def _complete(octet: Octet, settings: MergeSettings, task: Task, landed: Landed) -> MergeReport:
    ran = landed.evidence
    proof = "no tests were run for it"
    if ran:
        proof = f"{ran.command}: passed in {ran.duration_ms / 1000:.1f} s"
    record = NewRecord(Verdict.MERGED, evidence=evidence_data(ran))
    result = f"merged as {landed.commit}; {proof}"
    octet.tasks.complete(task.id, task.token, result, landed.commit, record=record)
    text = f"merged {task.id} as {landed.commit[:12]} ({proof})"
    if why := _clean_up(octet, settings, task):
        text = f"{text}; {why}"
    return MergeReport("merged", text, task.id, landed.commit)


def _clean_up(octet: Octet, settings: MergeSettings, task: Task) -> str:
    """Remove the task's worktree and branch, here and at the remote, if they are unused; why the
    worktree stays, or "".
    """
    why = clean_up_merged(octet, task.branch, task.commit)
    target = settings.target
    if target.remote and task.branch.startswith(BRANCH_PREFIX):
        remote = Remote(Git(settings.root), target.remote, target.branch)
        remote.withdraw(task.branch, task.commit)
    return why


def send_back(
    octet: Octet, branch: str, task: Task, outcome: Conflict | TestsFailed | Unusable
) -> str:
    """Send a task back to its developer; what happened, in a line for people.

    Raises:
        StaleToken: the claim was lost.
    """
    feedback, record = write_feedback(outcome, branch)
    octet.tasks.send_back(task.id, task.token, feedback, commit=task.commit, record=record)
    return f"{task.id} goes back to its developer: {first_line(feedback)}"
