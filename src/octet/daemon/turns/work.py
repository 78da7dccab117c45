"""An agent's work state as its turns see it, and whether there is work for it."""

from __future__ import annotations

from dataclasses import replace

from octet.base.vocabulary import stage_of_role
from octet.client.api import Octet
from octet.core.agents.election import STANDBY
from octet.core.agents.registry import Agent
from octet.core.agents.work_state import Pause, WorkState
from octet.project.config import Config

# An agent that holds a task and was cut off by an error of the API is woken for it after this long.
CUT_AGAIN_MS = 60_000


def read_state(octet: Octet, agent: Agent) -> WorkState:
    """The agent's record. A sub-agent counts as paused while its session is paused or parked.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    states = octet.work_states.of(list(filter(None, [agent.id, agent.parent])))
    state = states[agent.id]
    if agent.parent and states[agent.parent].stopped and not state.stopped:
        return replace(state, pause=Pause(f"with {agent.parent}"))
    return state


def has_work(octet: Octet, agent: Agent) -> bool:
    """Whether an idle agent should be woken, because its next Stop would assign it something.
    Cheap, and claims nothing.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    stage = stage_of_role(agent.role)
    config = octet.project.config if octet.project else Config(octet.name)
    if not stage or not config.crew_loop:
        return False
    # Read first: a task that is added after a pause, or after a claim, is not for this agent.
    fingerprint = octet.tasks.fingerprint(stage)
    state = read_state(octet, agent)
    if state.stopped:
        return False
    now_ms = octet.now_ms()
    if octet.tasks.held_by(agent.id):
        return state.cut_off and now_ms - state.idle_ms >= CUT_AGAIN_MS
    if octet.election.position(agent) == STANDBY:
        return False
    talks = state.asked or now_ms - state.talked_ms < config.crew_quiet_s * 1000
    if not fingerprint or (state.begun and talks):
        return False
    return not was_unclaimable(state, fingerprint, now_ms)


def was_unclaimable(state: WorkState, fingerprint: str, now_ms: int) -> bool:
    """Whether the agent has been shown just this before, and nothing came of it."""
    found = state.unclaimable
    return (
        found is not None and found.fingerprint == fingerprint and not 0 < found.until_ms <= now_ms
    )
