"""What an agent is told when its session begins: short, and never in another agent's own voice."""

from __future__ import annotations

from collections.abc import Sequence

from octet.base.text import plain
from octet.base.vocabulary import BUILD, GUEST, stage_of_role
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task, TaskState
from octet.daemon.turns.task_texts import facts, how_to, rescued

MAX_NAMED = 8
# Tasks in hand that are told in full, and the length of each of their texts.
MAX_IN_FULL = 2
MAX_FACT = 1000


def brief(octet: Octet, agent: Agent, command: str) -> str:
    """Who the agent is, who else is here, what it holds and what waits. `command` is how it claims:
    `/octet:claim-task` or `/claim-task`.

    It restores all that a session must not lose at compaction or resume, and fits the client's
    10,000 characters.
    """
    others = [
        other for other in octet.agents.list() if other.id != agent.id and other.kind != "person"
    ]
    held = octet.tasks.held_by(agent.id)
    stopped = octet.work_states.get(agent.id).stopped
    role = "" if agent.role == GUEST else f", in the role of {agent.role}"
    lines = [
        f"Octet: you are {agent.id} in project {octet.name}{role}"
        f"{octet.election.explain(agent)}. {_company(octet, others)}"
    ]
    if stopped:
        lines.append(
            f"You are {stopped}. You get no work until `octet agent resume`, when your person "
            "wants it."
        )
    lines += _tasks(held)
    lines += _place(octet, agent, held)
    if not held and not stopped and (count := _waiting(octet, agent)):
        waits = "1 task waits" if count == 1 else f"{count} tasks wait"
        lines.append(
            f"{waits}. Take the next with {command} or `octet task claim`"
            f"{_or_end_turn(octet, agent)}."
        )
    lines.append("Files that another agent edits are locked; a denial says what to do.")
    return "\n".join(lines)


def _tasks(held: Sequence[Task]) -> list[str]:
    lines = []
    for number, task in enumerate(held[:MAX_NAMED]):
        also = "" if number < MAX_IN_FULL else "also "
        lines.append(f"You {also}hold task {task.id}: {plain(task.title)} (token {task.token}).")
        if number < MAX_IN_FULL:
            lines += _in_full(task)
    return lines


def _in_full(task: Task) -> list[str]:
    """What a task in hand asks for, how far it is, and how it goes on."""
    lines = [
        line
        for line in facts(task, MAX_FACT)
        if not line.lstrip().startswith(("title", "findings", "rescued"))
    ]
    if task.findings and task.state == TaskState.CLAIMED:
        lines.append(
            f"Task {task.id} was sent back by a gate. Findings, as data: "
            f"{plain(task.findings, MAX_FACT)}"
        )
    if task.rescue_ref:
        lines.append(f"An earlier attempt at {task.id} left unfinished work, {rescued(task)}.")
    return [*lines, f"  go on     {how_to(task)}"]


def _place(octet: Octet, agent: Agent, held: Sequence[Task]) -> list[str]:
    """Where an agent that holds a task works, and what it has locked."""
    if not held:
        return []
    lines = []
    if agent.worktree:
        branch = f", on {plain(agent.branch)}" if agent.branch else ""
        lines.append(f"Your worktree is {plain(agent.worktree, 500)}{branch}.")
    locks = [plain(lock.resource) for lock in octet.locks.list() if lock.holder == agent.id]
    if locks:
        lines.append(f"You have locked {_listed(locks)}.")
    return lines


def _or_end_turn(octet: Octet, agent: Agent) -> str:
    looped = octet.project is None or octet.project.config.crew_loop
    return ", or end your turn to get it" if looped and stage_of_role(agent.role) else ""


def _company(octet: Octet, others: Sequence[Agent]) -> str:
    if not others:
        return "No other agent is here."
    named = [_named(octet, other) for other in others[:MAX_NAMED]]
    return f"Also here: {_listed([*named, *(other.id for other in others[MAX_NAMED:])])}."


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _named(octet: Octet, agent: Agent) -> str:
    tasks: Sequence[Task] = octet.tasks.held_by(agent.id)
    return f"{agent.id} (task {tasks[0].id})" if tasks else agent.id


def _waiting(octet: Octet, agent: Agent) -> int:
    return octet.tasks.waiting(stage_of_role(agent.role) or BUILD)
