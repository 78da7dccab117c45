"""The loop of a role: what an agent that has come to the end of its turn does next."""

from __future__ import annotations

from octet.agents import Agent
from octet.api import Octet
from octet.task_record import stage_of_role

PAUSED = "paused"


def has_work(octet: Octet, agent: Agent) -> bool:
    """Whether a task waits that the agent, idle now, should take."""
    stage = stage_of_role(agent.role)
    return bool(stage) and agent.status != PAUSED and octet.tasks.waiting(stage) > 0 and not octet.tasks.held_by(agent.id)
