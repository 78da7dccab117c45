"""Parks an agent: it gets no task until a person's prompt or `octet agent resume`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from octet.base.errors import AgentGone, OctetError, Refused, StoreUnreachable
from octet.base.text import plain
from octet.base.vocabulary import ORCHESTRATOR
from octet.client.api import Octet
from octet.core.agents import work_changes
from octet.core.agents.registry import Agent
from octet.core.agents.work_changes import WorkChange
from octet.core.tasks.record import Task
from octet.project.repository import find_worktree

log = logging.getLogger(__name__)

# A claim that an idle agent never touched is released after this long.
UNTOUCHED_MS = 30 * 60 * 1000

# Saves an agent's unfinished work before its task goes back.
SaveWork = Callable[[Octet, Agent], None]


def park_agent(
    octet: Octet,
    agent: Agent,
    held: Sequence[Task],
    reason: str,
    save: SaveWork | None,
    change: WorkChange = work_changes.unchanged,
) -> None:
    """Release what the agent holds, stop it, and say so to watchers and orchestrator. `change` is
    what else changes in its record.

    Raises:
        AgentGone: it was declared dead.
    """
    if save and held:
        save(octet, agent)
    released = [task.id for task in held if _release(octet, task, reason)]
    octet.work_states.park(agent, reason, released, first=change)
    log.warning("%s is parked: %s", agent.id, reason)
    if agent.role != ORCHESTRATOR:
        _tell_orchestrator(octet, agent, reason, released)


def release_untouched(octet: Octet, agents: Sequence[Agent], save: SaveWork) -> None:
    """Park the agents that idle over a claim they were assigned and never touched: its text was
    lost, or their person has gone.
    """
    if not agents:
        return
    states, now_ms = octet.work_states.of([agent.id for agent in agents]), octet.now_ms()
    for agent in agents:
        state = states[agent.id]
        assigned = state.task
        if not assigned or state.stopped or not state.idle_ms:
            continue
        if now_ms - state.idle_ms < UNTOUCHED_MS:
            continue
        held = [
            task
            for task in octet.tasks.held_by(agent.id)
            if task.token == assigned.token and not _is_touched(agent, task, assigned.at_ms)
        ]
        if held:
            with suppress(AgentGone):
                reason = f"it idled over task {held[0].id} and never began it"
                park_agent(octet, agent, held, reason, save)


def parked_notice(agent: Agent, reason: str) -> str:
    """For the person at the terminal: that the agent is parked, and how it goes on."""
    return (
        f"Octet: {agent.id} is parked: {plain(reason)}. Your next prompt, or `octet agent resume`, "
        "lets it go on."
    )


def head_moved_ns(agent: Agent) -> int:
    """When HEAD last moved where the agent works, by the machine's clock; 0 without a reflog."""
    worktree = find_worktree(agent.worktree or agent.cwd)
    try:
        return (worktree.git_dir / "logs" / "HEAD").stat().st_mtime_ns if worktree else 0
    except OSError:
        return 0


def _is_touched(agent: Agent, task: Task, since_ms: int) -> bool:
    """Whether since then progress was reported, or a worktree made or committed to."""
    return task.updated_ms > since_ms or head_moved_ns(agent) // 1_000_000 > since_ms


def _release(octet: Octet, task: Task, reason: str) -> bool:
    try:
        octet.tasks.release(task.id, task.token, f"its agent was parked: {reason}")
    except StoreUnreachable:
        raise
    except OctetError as error:  # the agent has lost it by itself
        log.info("task %s is not released: %s", task.id, error)
        return False
    return True


def _tell_orchestrator(octet: Octet, agent: Agent, reason: str, released: Sequence[str]) -> None:
    back = f" Given back: {', '.join(released)}." if released else ""
    text = (
        f"{agent.id} is parked: {reason}.{back} It goes on after a prompt of its person, or "
        f"`octet agent resume {agent.id}`."
    )
    try:
        octet.messages.send(ORCHESTRATOR, text, sender=agent.id)
    except Refused as error:  # its inbox is full: `octet status` shows it all the same
        log.info("the orchestrator is not told: %s", error)
