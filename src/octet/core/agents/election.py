"""The election of the one orchestrator that leads, and what only the leader may write.

The scripts that register and retire agents elect: the leader is replaced in the step that takes it
off the registry, and never before. Each election has an *epoch*, a token that only grows. An
orchestrator's writes in its role (tasks added, cancelled, queued again, claims of the plan stage,
its role's mail) are refused by the script that would make them, unless it leads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from octet.base.errors import NotLeading
from octet.base.text import age
from octet.base.vocabulary import ORCHESTRATOR
from octet.core.agents.registry import Agent
from octet.store.scripts import Store

LEADS = "leads"
STANDBY = "standby"


@dataclass(frozen=True)
class Leader:
    """The leading orchestrator; `epoch` is the token of its election, `since_ms` server time."""

    agent: str
    incarnation: str
    epoch: str
    since_ms: int


class Election:
    """The orchestrator of one project."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def leader(self) -> Leader | None:
        """The leader; None where no agent has the role."""
        with self._store.errors():
            found = self._store.client.hmget(
                self._store.keys.orchestrator, "agent", "incarnation", "epoch", "since_ms"
            )
        agent, incarnation, epoch, since = (value or "" for value in found)
        return (
            Leader(
                agent,
                incarnation,
                epoch,
                int(since) if since.isdecimal() and len(since) < 16 else 0,
            )
            if agent
            else None
        )

    def position(self, agent: Agent) -> str:
        """`leads` or `standby` for an orchestrator, "" for another role."""
        return position(agent, self.leader()) if agent.role == ORCHESTRATOR else ""

    def explain(self, agent: Agent) -> str:
        """An orchestrator's position in words, to follow its role; "" for another role."""
        if agent.role != ORCHESTRATOR:
            return ""
        leader = self.leader()
        if leader and position(agent, leader) == LEADS:
            return f", and you lead (epoch {leader.epoch})"
        with self._store.errors():
            now_ms = int(self._store.client.time()[0]) * 1000
        led = (
            f"{leader.agent} has led for {age(leader.since_ms, now_ms)} (epoch {leader.epoch})"
            if leader
            else "there is no leader"
        )
        return (
            f", on standby: {led}. Do nothing in this role until a message says that you lead; "
            "what you write in it is refused"
        )


def position(agent: Agent, leader: Leader | None) -> str:
    """An agent's position where the leader is known."""
    if agent.role != ORCHESTRATOR:
        return ""
    return (
        LEADS
        if leader and (leader.agent, leader.incarnation) == (agent.id, agent.incarnation)
        else STANDBY
    )


def as_orchestrator(agent: Agent | None) -> tuple[str, str]:
    """The writer's id and incarnation where it must lead, as scripts take them: of an orchestrator;
    two empty texts for another role.
    """
    return (agent.id, agent.incarnation) if agent and agent.role == ORCHESTRATOR else ("", "")


def refusal(reply: Sequence[Any]) -> NotLeading:
    """The error for a script's reply `LED`."""
    leader, epoch, for_ms = str(reply[1]), str(reply[2]), int(reply[3])
    now = (
        f"{leader} has led for {age(1, for_ms + 1)} (epoch {epoch})"
        if leader
        else "there is no leader"
    )
    advice = (
        "you are told when it is you; until then leave plan and tasks alone, or write to it: "
        "`octet msg send orchestrator TEXT`"
    )
    return NotLeading(
        f"you do not lead this project: {now}; {advice}", leader=leader, epoch=epoch, for_ms=for_ms
    )
