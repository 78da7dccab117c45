"""Conflicts found before anybody merges: after each landing, what is in flight is tried against the
new tip, touching no worktree.
"""

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
from octet.merge.combination import conflicts_between

MOST_LOOKED_AT = 64
MOST_NAMED = 20
MOST_COMPARED = 12
IN_FLIGHT = (TaskState.SUBMITTED, TaskState.IN_REVIEW, TaskState.TESTING, TaskState.CLAIMED)


@dataclass(frozen=True)
class Foreseen:
    """A task whose work conflicts with the branch now: it was sent back, or `told` was told."""

    task: str
    paths: tuple[str, ...]
    sent_back: bool = False
    told: str = ""


def foresee(octet: Octet, agent: Agent, git: Git, before: str, tip: str) -> Iterator[Foreseen]:
    """Send back, or warn of, what conflicts with the branch at `tip` and did not at `before`. What
    cannot be looked at is left out.
    """
    for state in IN_FLIGHT:
        for task in octet.tasks.list(state, MOST_LOOKED_AT):
            try:
                work = _work_of(git, task)
                paths = conflicts_between(git, tip, work) if work else None
                if paths and not (before and conflicts_between(git, before, work)):
                    yield _act(octet, agent, task, paths, tip)
            except (GitFailed, Refused, NothingToClaim, IllegalTransition):
                continue


def ahead_of(git: Git, branch: str, tasks: Sequence[Task]) -> Mapping[str, str]:
    """For those of a queue's first tasks that cannot be merged as things are, what they conflict
    with and where, for people.

    That is the branch itself, or the work of a task that is merged before.
    """
    known: list[tuple[str, str]] = [(branch, git.commit(f"refs/heads/{branch}"))]
    found: dict[str, str] = {}
    for task in tasks[:MOST_COMPARED]:
        work = git.commit(task.commit) if task.commit else ""
        for name, other in known if work else []:
            if paths := conflicts_between(git, other, work):
                found[task.id] = f"{name}: {', '.join(map(plain, paths[:MOST_NAMED]))}"
                break
        known += [(task.id, work)] if work else []
    return found


def _work_of(git: Git, task: Task) -> str:
    if task.state != TaskState.CLAIMED:
        return git.commit(task.commit) if task.commit else ""
    try:
        return git.commit(f"refs/heads/{branch_of(task.id, max(1, task.attempts))}")
    except OctetError:
        return ""


def _act(octet: Octet, agent: Agent, task: Task, paths: tuple[str, ...], tip: str) -> Foreseen:
    where = ", ".join(map(plain, paths[:MOST_NAMED])) + (", …" if len(paths) > MOST_NAMED else "")
    found = f"conflicts with the protected branch at {tip[:12]} in {where}"
    if task.state == TaskState.SUBMITTED:
        held = octet.tasks.claim(
            agent, task.stage, task.id, most=len(octet.tasks.held_by(agent.id)) + 1
        )
        advice = "merge the branch into yours, resolve, commit, submit again"
        octet.tasks.send_back(
            task.id,
            held.token,
            f"{found}: {advice}",
            commit=held.commit,
            record=NewRecord(Verdict.CONFLICT, found),
        )
        return Foreseen(task.id, paths, sent_back=True)
    told = task.holder if task.state == TaskState.CLAIMED else task.author
    if told:
        octet.messages.send(
            told,
            f"Your work on task {task.id} {found}: merge the branch into yours soon.",
            sender=agent.id,
        )
    return Foreseen(task.id, paths, told=told)
