"""What the events of a session change in its agent's work state, and what a prompt answers."""

from __future__ import annotations

from contextlib import suppress

from octet.base.errors import AgentGone
from octet.base.vocabulary import stage_of_role
from octet.client.api import Octet
from octet.core.agents import work_changes
from octet.core.agents.registry import Agent
from octet.core.agents.work_state import WorkState
from octet.core.agents.work_states import CREW_DOWN
from octet.daemon.projects.sessions import ProjectSession
from octet.daemon.turns import task_texts
from octet.daemon.turns.assignment import assign_next
from octet.daemon.turns.work import has_work, read_state

# How the client begins a prompt that no person typed: something ended or arrived while the session
# was idle.
MACHINE_PROMPTS = (
    "<task-notification>",
    "<system-reminder>",
    "<cross-session-message",
    "<teammate-message",
    "Another Claude session sent",
)


def is_person(prompt: str) -> bool:
    """Whether a person typed the prompt; the client runs the same hook for each machine wake."""
    return not prompt.lstrip().startswith(MACHINE_PROMPTS)


def note_session_start(octet: Octet, agent: Agent, source: str) -> None:
    """A session has begun: it does not have in hand what another process of it was assigned, and
    its first turn begins the loop.
    """
    if source not in ("startup", "resume", "fork"):
        return
    if octet.work_states.get(agent.id) != WorkState():
        # The crew that went down is gone: a conversation that goes on belongs to the next one.
        octet.work_states.lift(agent, CREW_DOWN)
        octet.work_states.change(agent, work_changes.begin_session)


def hear_prompt(project: ProjectSession, agent: Agent, prompt: str) -> str:
    """Note that a person talks with the agent. Returns a line about the task in hand, so that the
    answer does not make the agent forget it.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    octet = project.connected()
    if not project.config.crew_loop or not stage_of_role(agent.role) or not is_person(prompt):
        return ""
    try:
        octet.work_states.change(agent, work_changes.hear_person)
    except AgentGone:
        return ""
    held = octet.tasks.held_by(agent.id)
    return task_texts.interrupted(held[0]) if held else ""


def answer_wake(project: ProjectSession, agent: Agent, prompt: str) -> str:
    """The next task of an idle agent whose turn begins by itself, so that it need not ask its model
    what to claim; "" for none.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    octet = project.connected()
    if is_person(prompt) or not has_work(octet, agent):
        return ""
    if held := octet.tasks.held_by(agent.id):  # its last turn was cut off
        return task_texts.reminded(held[0], answered=False)
    try:
        return assign_next(octet, agent, read_state(octet, agent), work_changes.unchanged)
    except AgentGone:
        return ""


def note_broken_turn(octet: Octet, agent: Agent, *, cut_off: bool = False) -> None:
    """A turn has ended without a Stop: by Esc, of which the client tells later, or (`cut_off`) by
    an error of the API, after which the agent may be woken for its task.
    """
    state = octet.work_states.get(agent.id)
    if not stage_of_role(agent.role) or (state.idle_ms and not cut_off):
        return
    with suppress(AgentGone):
        octet.work_states.change(
            agent, lambda now: work_changes.break_off(now, cut_off=cut_off), known=state
        )
