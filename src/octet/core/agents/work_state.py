"""How an agent stands to its work: paused by a person, parked by the runaway guard, what it was
handed last and what came of that.

octet.standings.pause(agent, "lunch")       # nothing is handed to it until `resume`; survives
daemon, /clear, compaction and resume octet.standings.get(agent.id).stopped       # "paused: lunch"

One HASH an agent, written by one script, read by the loop of its role (`daemon.loop`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from octet.base.errors import AgentGone
from octet.base.text import plain
from octet.core.agents.registry import SESSION_MEMORY_MS, Agent
from octet.store.scripts import Reply, Store, from_json, to_json

MOST_REASON = 300
# Who has paused an agent whose crew goes down.
CREW_DOWN = "octet down"
# Why one is paused that has given up its role.
LEFT = "it has left; `octet agent join ROLE` takes it on again"
SUBAGENT_MEMORY_MS = 24 * 3600 * 1000
# Of so many tasks it is remembered how often the agent gave them back.
MOST_REMEMBERED = 16
NOT_PAUSED = {"paused": "", "paused_by": "", "paused_ms": ""}
# What the runaway guard counts; a person's prompt to one that is parked, and `resume`, begin anew,
# and so does the loop.
CLEAN_SLATE = {"parked": "", "parked_ms": "", "barren": "", "returns": "", "begun": ""}


@dataclass(frozen=True)
class Standing:
    """One agent's record. Times are server time in ms, 0 for never.

    `paused` and `parked` are reasons, "" where it is not. `asked`: a person's prompt has come since
    it last went on with its task; `begun`: a turn has ended since its session began; `cut`: the
    last one ended in an error of the API. `task`, `token`, `stage`, `base` (its commit then) and
    `given_ms` are of the task that it was handed last; `told` is the mark (what had been done for
    it) at which it was last told that it still holds that, `reminders` how often. `barren` tasks in
    a row came to no commit; `returns` counts how often it gave a task back. `vain` is what waited
    when there was nothing for it in that, which is true until `vain_until_ms` (0: until something
    changes); `offers` in a row.
    """

    paused: str = ""
    paused_by: str = ""
    paused_ms: int = 0
    parked: str = ""
    parked_ms: int = 0
    begun: bool = False
    asked: bool = False
    talked_ms: int = 0
    idle_ms: int = 0
    cut: bool = False
    task: str = ""
    token: str = ""
    stage: str = ""
    base: str = ""
    given_ms: int = 0
    told: str = ""
    reminders: int = 0
    barren: int = 0
    returns: Mapping[str, int] = field(default_factory=dict, hash=False)
    vain: str = ""
    vain_until_ms: int = 0
    offers: int = 0

    @classmethod
    def from_hash(cls, fields: Mapping[str, str]) -> Standing:
        """From its Redis hash; a field that somebody spoiled by hand falls back to its default."""
        values: dict[str, Any] = {}
        for name, kind in cls.__annotations__.items():
            text = fields.get(name, "")
            if kind == "int":
                values[name] = (
                    int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
                )
            elif kind == "bool":
                values[name] = bool(text)
            else:
                values[name] = _counts(text) if name == "returns" else text
        return cls(**values)

    @property
    def stopped(self) -> str:
        """Why it is handed nothing, "" when it is: `paused: lunch`, `parked: …`."""
        if self.paused:
            return f"paused: {plain(self.paused, MOST_REASON)}"
        return f"parked: {plain(self.parked, MOST_REASON)}" if self.parked else ""


class Standings:
    """The records of one project's agents."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    def get(self, agent_id: str) -> Standing:
        """How one agent stands."""
        return self.of([agent_id])[agent_id]

    def of(self, agent_ids: Sequence[str]) -> dict[str, Standing]:
        """How many agents stand, by id."""
        with self._store.errors():
            pipe = self._store.client.pipeline(transaction=False)
            for agent_id in agent_ids:
                pipe.hgetall(self._keys.work_state(agent_id))
            found = pipe.execute(raise_on_error=False) if agent_ids else []
        # A key of another type was put there by hand: it says nothing of the agent.
        return {
            one: Standing.from_hash(fields if isinstance(fields, dict) else {})
            for one, fields in zip(agent_ids, found, strict=True)
        }

    def note(
        self,
        agent: Agent,
        changes: Mapping[str, str],
        event: str = "",
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Write fields of an agent's record ("" deletes one, "now" is the server's time in one that
        ends in `_ms`), and publish an event.

        Raises:
            AgentGone: it was declared dead.
        """
        told = to_json({"agent": agent.id, "role": agent.role, **(fields or {})})
        reply = self._store.run(
            "agent/set_work_state",
            agent=agent.id,
            incarnation=agent.incarnation,
            kept_ms=_kept_ms(agent),
            event=event,
            fields=told,
            changes=[part for pair in changes.items() for part in pair],
        )
        if reply[0] == Reply.GONE:
            raise AgentGone(f"{agent.id} was declared dead and its work given back")

    def pause(self, agent: Agent, reason: str = "", by: str = "") -> None:
        """Hand the agent nothing more until `resume`; what it holds it keeps.

        Raises:
            AgentGone: it was declared dead.
        """
        why = plain(reason.strip(), MOST_REASON) or "until `octet agent resume`"
        self.note(
            agent,
            {"paused": why, "paused_by": by, "paused_ms": "now"},
            "agent_paused",
            {"reason": why, "by": by},
        )

    def resume(self, agent: Agent) -> None:
        """It is handed work again, whether it was paused or parked, and what the runaway guard has
        counted is forgotten.

        Raises:
            AgentGone: it was declared dead.
        """
        free = {"talked_ms": "", "asked": "", "vain": "", "vain_until_ms": ""}
        self.note(agent, {**NOT_PAUSED, **free, **CLEAN_SLATE}, "agent_resumed")

    def lift(self, agent: Agent, by: str) -> None:
        """End the agent's pause if it is by that; harmless where it is not, or where the agent is
        gone.
        """
        if self.get(agent.id).paused_by == by:
            with suppress(AgentGone):
                self.note(agent, NOT_PAUSED, "agent_resumed")

    def park(self, agent: Agent, reason: str, tasks: Sequence[str]) -> None:
        """The runaway guard stops the agent; a person's prompt or `resume` lets it go on.

        Raises:
            AgentGone: it was declared dead.
        """
        why = plain(reason, MOST_REASON)
        ended = dict.fromkeys(("task", "token", "told", "reminders"), "")
        changes = {"parked": why, "parked_ms": "now", "idle_ms": "now", **ended}
        self.note(agent, changes, "agent_parked", {"reason": why, "tasks": " ".join(tasks)})


def _kept_ms(agent: Agent) -> int:
    # A session comes back under its name; a sub-agent never does.
    return SUBAGENT_MEMORY_MS if agent.kind == "subagent" else SESSION_MEMORY_MS


def more_returns(before: Mapping[str, int], task: str) -> dict[str, int]:
    """The counts with one more of a task; the longest unchanged is forgotten."""
    counted = {name: count for name, count in before.items() if name != task}
    return dict(list({**counted, task: before.get(task, 0) + 1}.items())[-MOST_REMEMBERED:])


def packed(counts: Mapping[str, int]) -> str:
    """Counts as they are kept."""
    return json.dumps(dict(counts)) if counts else ""


def _counts(text: str) -> dict[str, int]:
    try:
        found = from_json(text or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        name: count
        for name, count in found.items()
        if isinstance(count, int) and not isinstance(count, bool)
    }
