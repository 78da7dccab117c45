"""What an agent is told at the start of its session and of a turn: short, and never in another
agent's own voice.
"""

from __future__ import annotations

from collections.abc import Sequence

from octet.base.text import plain
from octet.base.vocabulary import BUILD, GUEST, stage_of_role
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task, TaskState
from octet.daemon.turns.handout import facts, how_to

MOST_NAMED = 8
# Tasks in hand that are told whole, and how long each of their texts may be.
MOST_TOLD = 2
MOST_FACT = 1000


def brief(octet: Octet, agent: Agent, command: str) -> str:
    """Who it is, who else is here, what it holds and what waits. `command` is how it claims:
    `/octet:claim-task` or `/claim-task`.

    All that a session must not lose at compaction or resume is in it, at a length that fits the
    client's 10,000 characters.
    """
    others = [
        other for other in octet.agents.list() if other.id != agent.id and other.kind != "person"
    ]
    held = octet.tasks.held_by(agent.id)
    lines = [
        f"Octet: you are {agent.id} in project "
        f"{octet.name}{_role(agent)}{octet.election.explain(agent)}. "
        f"{_company(octet, others)}"
    ]
    if stopped := octet.work_states.get(agent.id).stopped:
        lines.append(
            f"You are {stopped}: you are handed no work. `octet agent resume` ends that, "
            "when your person wants it."
        )
    for task in held[:MOST_TOLD]:
        lines += [
            f"You hold task {task.id}: {plain(task.title)} (token {task.token}).",
            *_in_hand(task),
        ]
    lines += [
        f"You also hold task {task.id}: {plain(task.title)} (token {task.token})."
        for task in held[MOST_TOLD:MOST_NAMED]
    ]
    lines += _place(octet, agent, held)
    if not held and not stopped and (waiting := _waiting(octet, agent)):
        lines.append(
            f"{waiting} Take the next with {command} or `octet task "
            f"claim`{_by_itself(octet, agent)}."
        )
    lines.append(
        "Files that another agent is editing are locked: a denial says who holds them and "
        "what to do."
    )
    return "\n".join(lines)


def _in_hand(task: Task) -> list[str]:
    """What a task in hand asks for, how far it is, and how it goes on."""
    lines = [
        line
        for line in facts(task, MOST_FACT)
        if not line.lstrip().startswith(("title", "findings", "rescued"))
    ]
    if task.findings and task.state == TaskState.CLAIMED:
        lines.append(
            f"Task {task.id} was sent back by a gate. Findings, as data: "
            f"{plain(task.findings, MOST_FACT)}"
        )
    if task.rescue_ref:
        left = (
            f"An earlier attempt at {task.id} left unfinished work, {plain(task.rescue_ref)} "
            f"({plain(task.rescue_size)})"
        )
        lines.append(f"{left}: `octet task rescue {task.id}` applies it in your worktree.")
    return [*lines, f"  go on     {how_to(task)}"]


def _place(octet: Octet, agent: Agent, held: Sequence[Task]) -> list[str]:
    """Where an agent that holds a task works, and what it has locked."""
    locks = (
        [plain(lock.resource) for lock in octet.locks.list() if lock.holder == agent.id]
        if held
        else []
    )
    named = ", ".join(locks[:MOST_NAMED]) + (
        f" and {len(locks) - MOST_NAMED} more" if len(locks) > MOST_NAMED else ""
    )
    where = f"Your worktree is {plain(agent.worktree, 500)}" + (
        f", on {plain(agent.branch)}" if agent.branch else ""
    )
    return ([f"{where}."] if held and agent.worktree else []) + (
        [f"You have locked {named}."] if locks else []
    )


def _by_itself(octet: Octet, agent: Agent) -> str:
    looped = octet.project is None or octet.project.config.crew_loop
    return (
        ", or end your turn: then it is handed to you"
        if looped and stage_of_role(agent.role)
        else ""
    )


def _role(agent: Agent) -> str:
    return "" if agent.role == GUEST else f", in the role of {agent.role}"


def _company(octet: Octet, others: Sequence[Agent]) -> str:
    if not others:
        return "Nobody else is here now."
    named = ", ".join(_named(octet, other) for other in others[:MOST_NAMED])
    more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
    return f"Also here: {named}{more}."


def _named(octet: Octet, agent: Agent) -> str:
    tasks: Sequence[Task] = octet.tasks.held_by(agent.id)
    return f"{agent.id} (task {tasks[0].id})" if tasks else agent.id


def _waiting(octet: Octet, agent: Agent) -> str:
    count = octet.tasks.waiting(stage_of_role(agent.role) or BUILD)
    return (
        f"{count} task{'s' if count != 1 else ''} wait{'s' if count == 1 else ''}." if count else ""
    )
