"""Conflicts predicted before a merge: work in flight is tried on the branch, without a worktree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from octet.base.errors import IllegalTransition, NothingToClaim, OctetError, Refused
from octet.base.text import plain
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task, TaskState
from octet.core.tasks.verdicts import NewRecord, Verdict
from octet.git.program import Git, GitFailed
from octet.git.worktrees import branch_of
from octet.merge.tree_merge import conflicts_between

MAX_TASKS_A_STATE = 64
MAX_NAMED = 20
MAX_COMPARED = 12
IN_FLIGHT = (TaskState.SUBMITTED, TaskState.IN_REVIEW, TaskState.TESTING, TaskState.CLAIMED)


@dataclass(frozen=True)
class PredictedConflict:
    """A task whose work conflicts with the branch: sent back, or the agent `told` was warned."""

    task: str
    paths: tuple[str, ...]
    sent_back: bool = False
    told: str = ""


def predict_conflicts(
    octet: Octet, agent: Agent, git: Git, before: str, tip: str
) -> Iterator[PredictedConflict]:
    """Send back, or warn of, work that conflicts with the branch at `tip` and did not at `before`.
    Tasks that cannot be examined are skipped.
    """
    for state in IN_FLIGHT:
        for task in octet.tasks.list(state, MAX_TASKS_A_STATE):
            try:
                work = _work_in_flight(git, task)
                paths = conflicts_between(git, tip, work) if work else None
                if paths and not (before and conflicts_between(git, before, work)):
                    yield _send_back_or_warn(octet, agent, task, paths, tip)
            except (GitFailed, Refused, NothingToClaim, IllegalTransition):
                continue


def queue_conflicts(git: Git, branch: str, tasks: Sequence[Task]) -> Mapping[str, str]:
    """For the first tasks of a queue that cannot be merged as things are: what they conflict with,
    and where, for people.

    They conflict with the branch itself, or with the work of a task that is merged before.
    """
    earlier: list[tuple[str, str]] = [(branch, git.commit(f"refs/heads/{branch}"))]
    found: dict[str, str] = {}
    for task in tasks[:MAX_COMPARED]:
        work = git.commit(task.commit) if task.commit else ""
        if not work:
            continue
        for name, other in earlier:
            if paths := conflicts_between(git, other, work):
                found[task.id] = f"{name}: {', '.join(map(plain, paths[:MAX_NAMED]))}"
                break
        earlier.append((task.id, work))
    return found


def _work_in_flight(git: Git, task: Task) -> str:
    if task.state != TaskState.CLAIMED:
        return git.commit(task.commit) if task.commit else ""
    try:
        return git.commit(f"refs/heads/{branch_of(task.id, max(1, task.attempts))}")
    except OctetError:
        return ""


def _send_back_or_warn(
    octet: Octet, agent: Agent, task: Task, paths: tuple[str, ...], tip: str
) -> PredictedConflict:
    where = ", ".join(map(plain, paths[:MAX_NAMED])) + (", …" if len(paths) > MAX_NAMED else "")
    found = f"conflicts with the protected branch at {tip[:12]} in {where}"
    if task.state == TaskState.SUBMITTED:
        _send_back(octet, agent, task, found)
        return PredictedConflict(task.id, paths, sent_back=True)
    told = task.holder if task.state == TaskState.CLAIMED else task.author
    if told:
        text = f"Your work on task {task.id} {found}: merge the branch into yours soon."
        octet.messages.send(told, text, sender=agent.id)
    return PredictedConflict(task.id, paths, told=told)


def _send_back(octet: Octet, agent: Agent, task: Task, found: str) -> None:
    claims = len(octet.tasks.held_by(agent.id))
    held = octet.tasks.claim(agent, task.stage, task.id, max_claims=claims + 1)
    octet.tasks.send_back(
        task.id,
        held.token,
        f"{found}: merge the branch into yours, resolve, commit, submit again",
        commit=held.commit,
        record=NewRecord(Verdict.CONFLICT, found),
    )
