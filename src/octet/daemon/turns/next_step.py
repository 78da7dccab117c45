"""What follows when a turn ends, so that an agent goes on without being asked.

`rules.decide` says what; here the facts are gathered and the decision is carried out. Nothing
waits. A claim whose text is lost on the way (Esc, a killed hook) stays the agent's: the next prompt
and the next Stop tell of it, and `parking.release_untouched` releases it when the agent idles over
it.
"""

from __future__ import annotations

from dataclasses import dataclass

from octet.base.errors import AgentGone, NotFound
from octet.base.vocabulary import WORK_STAGES, stage_of_role
from octet.client.api import Octet
from octet.core.agents import work_changes
from octet.core.agents.registry import Agent
from octet.core.agents.work_state import HandedTask, WorkState
from octet.core.tasks.record import Task
from octet.daemon.projects.sessions import ProjectSession
from octet.daemon.turns import task_texts
from octet.daemon.turns.assignment import assign_next
from octet.daemon.turns.parking import SaveWork, head_moved_ns, park_agent
from octet.daemon.turns.rules import EndedTurn, decide
from octet.guard.payload import SubagentStop, TurnEnd


@dataclass(frozen=True)
class NextStep:
    """What the agent is told, "" where its turn ends; why it was parked, "" where it was not."""

    text: str = ""
    parked: str = ""


def take_next_step(
    project: ProjectSession,
    agent: Agent,
    event: TurnEnd,
    state: WorkState,
    save: SaveWork | None = None,
) -> NextStep:
    """Assign the next task at a turn's end, remind of the one in hand, park the agent, or let it
    idle. `state` is its record as `read_state` gave it.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    octet, config = project.connected(), project.config
    if not config.crew_loop or not stage_of_role(agent.role):
        return NextStep()
    try:
        turn = _gather(project, agent, event, state)
        step = decide(turn, config)
        if step.kind == "assign":
            return NextStep(assign_next(octet, agent, state, step.change))
        if step.kind == "park":
            park_agent(octet, agent, turn.held, step.reason, save, step.change)
            return NextStep(parked=step.reason)
        before = octet.work_states.change(agent, step.change, known=state)
        # One that was paused since its record was read is not sent on.
        if step.kind == "remind" and (state.stopped or not before.stopped):
            answered = work_changes.is_asked(state)
            return NextStep(task_texts.reminded(turn.held[0], answered=answered))
    except AgentGone:
        pass  # it has no work any more; its next hook tells it so
    return NextStep()


def _gather(project: ProjectSession, agent: Agent, event: TurnEnd, state: WorkState) -> EndedTurn:
    octet = project.connected()
    held = tuple(sorted(octet.tasks.held_by(agent.id), key=lambda task: task.claimed_ms))
    assigned, ended, judged = state.task, None, False
    if assigned and all(task.token != assigned.token for task in held):
        ended = _find(octet, assigned.id)
        judged = ended is not None and _has_judged(octet, agent, assigned)
    running = () if isinstance(event, SubagentStop) else event.background_tasks
    return EndedTurn(
        state=state,
        stage=stage_of_role(agent.role),
        agent=agent.id,
        now_ms=octet.now_ms(),
        held=held,
        ended=ended,
        judged=judged,
        mark=_mark(project, agent, held[0]) if held else "",
        waits=any(task.kind == "subagent" or held for task in running),
    )


def _find(octet: Octet, task_id: str) -> Task | None:
    try:
        return octet.tasks.get(task_id)
    except NotFound:
        return None


def _has_judged(octet: Octet, agent: Agent, assigned: HandedTask) -> bool:
    """Whether the agent has given its verdict on a task of a gate since it got it."""
    if assigned.stage in WORK_STAGES:
        return False
    records = octet.tasks.records(assigned.id)
    return any(record.by == agent.id and record.at_ms >= assigned.at_ms for record in records)


def _mark(project: ProjectSession, agent: Agent, task: Task) -> str:
    """Stays the same as long as nothing is done for the task: reports, commits, writes. Costs a
    `stat`, and no git process.
    """
    return f"{task.token}:{task.updated_ms}:{head_moved_ns(agent)}:{project.writes[agent.id]}"
