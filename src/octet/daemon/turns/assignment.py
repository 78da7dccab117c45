"""Assigns the next task of an agent's stage, claimed for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from octet.base.errors import NothingToClaim, Refused
from octet.base.vocabulary import GATES, stage_of_role
from octet.client.api import Octet
from octet.core.agents import work_changes
from octet.core.agents.registry import Agent
from octet.core.agents.work_changes import WorkChange
from octet.core.agents.work_state import Unclaimable, WorkState
from octet.core.tasks.record import Task, TaskState
from octet.daemon.turns import task_texts
from octet.daemon.turns.rules import in_hand
from octet.daemon.turns.work import read_state, was_unclaimable

# Work that stays where it is (a merge that waits for a person) is offered again after a minute,
# then after two, four, …, 60 at most.
OFFER_AGAIN_MS = 60_000
MAX_OFFER_AGAIN_MS = 3_600_000


def assign_next(octet: Octet, agent: Agent, state: WorkState, settled: WorkChange) -> str:
    """Claim the next task of the agent's stage and say what it is; "" where there is none for it.
    `settled` is what else changes in its record.

    Raises:
        AgentGone: it was declared dead.
    """

    def note(change: WorkChange) -> None:
        octet.work_states.change(agent, lambda now: change(settled(now)), known=state)

    stage = stage_of_role(agent.role)
    fingerprint = octet.tasks.fingerprint(stage)
    if not fingerprint:
        note(work_changes.find_nothing)
        return ""
    if stage in task_texts.COMMANDS:
        return _offer(octet, agent, state, note, fingerprint)
    try:
        task = _claim(octet, agent, stage, settled(state).returned)
    except NothingToClaim as nothing:
        until_ms = octet.now_ms() + nothing.offer_ms if nothing.offer_ms else 0
        left = octet.tasks.fingerprint(stage)
        found = Unclaimable(left, until_ms) if left else None
        note(lambda now: work_changes.find_nothing(now, found))
        return ""
    except Refused:  # the agent itself has claimed another just now
        note(work_changes.rest)
        return ""
    # Read again: a person who was told that the agent is paused must see it without a task.
    if read_state(octet, agent).stopped:
        octet.tasks.release(task.id, task.token, "not begun: its agent was paused")
        note(work_changes.rest)
        return ""
    note(lambda now: work_changes.hand_over(now, in_hand(task, stage)))
    return task_texts.assigned(agent, task)


def _claim(octet: Octet, agent: Agent, stage: str, returned: Mapping[str, int]) -> Task:
    """The next task of a stage. Tasks that the agent itself gave back come last, because the
    obstacle is likely still there.

    Raises:
        NothingToClaim, Refused, AgentGone: as `Tasks.claim`.
    """
    waiting: Sequence[Task] = []
    if returned:
        is_gate = stage in GATES
        waiting = octet.tasks.queued(stage) if is_gate else octet.tasks.list(TaskState.PENDING)
    for task in waiting:
        if (task.work == stage or stage in GATES) and task.id not in returned:
            with suppress(Refused):
                return octet.tasks.claim(agent, stage, task.id)
    return octet.tasks.claim(agent, stage)


def _offer(
    octet: Octet,
    agent: Agent,
    state: WorkState,
    note: Callable[[WorkChange], None],
    fingerprint: str,
) -> str:
    """Tell of work that the agent's own command claims; not the same again too soon."""
    now_ms = octet.now_ms()
    if was_unclaimable(state, fingerprint, now_ms):
        note(work_changes.end_turn)
        return ""
    before = state.unclaimable
    offers = before.offers + 1 if before and before.fingerprint == fingerprint else 1
    again_ms = now_ms + min(MAX_OFFER_AGAIN_MS, OFFER_AGAIN_MS << min(offers - 1, 10))
    note(lambda now: work_changes.offer(now, Unclaimable(fingerprint, again_ms, offers)))
    stage = stage_of_role(agent.role)
    return task_texts.offered(stage, octet.tasks.waiting(stage))
