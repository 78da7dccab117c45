"""The agents' work states in the store: read, and written by `change` alone.

octet.work_states.pause(agent, "lunch")   # nothing is handed to it until `resume`; outlives the
                                          # daemon, /clear, compaction and the session itself
octet.work_states.get(agent.id).stopped   # "paused: lunch"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from octet.base.errors import AgentGone
from octet.core.agents import work_changes
from octet.core.agents.registry import SESSION_MEMORY_MS, Agent
from octet.core.agents.work_changes import WorkChange, unchanged
from octet.core.agents.work_state import WorkState, from_fields, to_fields
from octet.store.scripts import Reply, Store, to_json

# Who has paused an agent whose crew goes down.
CREW_DOWN = "octet down"
# Why one is paused that has given up its role.
LEFT = "it has left; `octet agent join ROLE` takes it on again"
SUBAGENT_MEMORY_MS = 24 * 3600 * 1000
# A change that met another is made again; so often in a row it cannot.
MAX_TRIES = 100


class WorkStates:
    """The records of one project's agents."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    def get(self, agent_id: str) -> WorkState:
        """One agent's record."""
        return self.of([agent_id])[agent_id]

    def of(self, agent_ids: Sequence[str]) -> dict[str, WorkState]:
        """Many agents' records, by id."""
        with self._store.errors():
            pipe = self._store.client.pipeline(transaction=False)
            for agent_id in agent_ids:
                pipe.hgetall(self._keys.work_state(agent_id))
            found = pipe.execute(raise_on_error=False) if agent_ids else []
        # A key of another type was put there by hand: it says nothing of the agent.
        return {
            one: from_fields(fields if isinstance(fields, dict) else {})
            for one, fields in zip(agent_ids, found, strict=True)
        }

    def change(
        self,
        agent: Agent,
        change: WorkChange,
        *,
        known: WorkState | None = None,
        event: str = "",
        fields: Mapping[str, Any] | None = None,
    ) -> WorkState:
        """Change an agent's record, and publish an event of that; returns the record before.

        `known` is what was read of it, and saves reading it again. Where another change came
        between, this one is made of what that left.

        Raises:
            AgentGone: it was declared dead.
        """
        for _ in range(MAX_TRIES):
            before = known or self.get(agent.id)
            if self._write(agent, before, change(before), event, fields or {}):
                return before
            known = None
        raise RuntimeError(f"the work state of {agent.id} does not stand still")

    def _write(
        self,
        agent: Agent,
        before: WorkState,
        after: WorkState,
        event: str,
        fields: Mapping[str, Any],
    ) -> bool:
        was = to_fields(before)
        changes = {name: to for name, to in to_fields(after).items() if to != was[name]}
        reply = self._store.run(
            "agent/set_work_state",
            agent=agent.id,
            incarnation=agent.incarnation,
            version=before.version,
            kept_ms=_kept_ms(agent),
            event=event,
            fields=to_json({"agent": agent.id, "role": agent.role, **fields}),
            changes=[word for change in changes.items() for word in change],
        )
        if reply[0] == Reply.GONE:
            raise AgentGone(f"{agent.id} was declared dead and its work given back")
        return bool(reply[0] == Reply.OK)

    def pause(self, agent: Agent, reason: str = "", by: str = "") -> None:
        """Hand the agent nothing more until `resume`; what it holds it keeps.

        Raises:
            AgentGone: it was declared dead.
        """
        why = work_changes.clip_reason(reason) or "until `octet agent resume`"
        self.change(
            agent,
            lambda state: work_changes.pause(state, why, by),
            event="agent_paused",
            fields={"reason": why, "by": by},
        )

    def resume(self, agent: Agent) -> None:
        """It is handed work again, whether it was paused or parked, and what the runaway guard has
        counted is forgotten.

        Raises:
            AgentGone: it was declared dead.
        """
        self.change(agent, work_changes.resume, event="agent_resumed")

    def lift(self, agent: Agent, by: str) -> None:
        """End the agent's pause if it is by that; harmless otherwise, and if it is gone."""
        state = self.get(agent.id)
        with suppress(AgentGone):
            while state.paused_by == by:
                lifted = work_changes.lift_pause(state, by)
                if self._write(agent, state, lifted, "agent_resumed", {}):
                    return
                state = self.get(agent.id)

    def park(
        self, agent: Agent, reason: str, tasks: Sequence[str], first: WorkChange = unchanged
    ) -> None:
        """The runaway guard stops the agent, which held these tasks; `first`: what else changes.

        Raises:
            AgentGone: it was declared dead.
        """
        self.change(
            agent,
            lambda state: work_changes.park(first(state), reason),
            event="agent_parked",
            fields={"reason": work_changes.clip_reason(reason), "tasks": " ".join(tasks)},
        )


def _kept_ms(agent: Agent) -> int:
    # A session comes back under its name; a sub-agent never does.
    return SUBAGENT_MEMORY_MS if agent.kind == "subagent" else SESSION_MEMORY_MS
