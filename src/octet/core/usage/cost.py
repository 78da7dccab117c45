"""The cost of the work in tokens: sums by agent, task and day, and the budgets that pause the crew.

One script updates the sums and the read position of a transcript, so that nothing counts twice.
Tokens only: their price differs by model, kind and contract, and a price table would soon be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from octet.base.errors import AgentGone
from octet.core.agents.registry import Agent
from octet.core.agents.work_states import WorkStates
from octet.core.messaging.events import Events
from octet.core.usage.transcript_reader import TranscriptReader
from octet.core.usage.transcripts import ReadPosition, Spent, Tokens, read, unpack
from octet.project.config import Config
from octet.store.scripts import Reply, Store

MEMORY_MS = 30 * 24 * 3600 * 1000
# A transcript is read again when another process was faster, which has it after so many tries.
MAX_TRIES = 5
PAUSED_BY = "budget"  # in an agent's work state
LIFTED = " lifted"
CREW_KINDS = frozenset({"session", "subagent"})


@dataclass(frozen=True)
class Budget:
    """A budget that was reached: `kind` is day or task, `of` the date or the task."""

    kind: str
    of: str
    used: int
    limit: int

    def reason(self) -> str:
        """The reason of the pause, for people."""
        used, limit = f"{self.used:,}", f"{self.limit:,}"
        if self.kind == "day":
            way = (
                "tomorrow (UTC), a greater [budget] day_tokens or `octet agent resume --all` "
                "lets the crew go on"
            )
            return f"{used} of {limit} tokens are used today ({self.of}); {way}"
        way = "a greater [budget] task_tokens or `octet agent resume --all` lets it go on"
        return f"task {self.of} has used {used} of {limit} tokens; {way}"


class Cost:
    """The sums of one project."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    def agents(self) -> dict[str, Tokens]:
        """The tokens of each agent, ended ones included."""
        return self._sums(self._keys.cost_agents)

    def tasks(self) -> dict[str, Tokens]:
        """The tokens of each task."""
        return self._sums(self._keys.cost_tasks)

    def days(self) -> dict[str, Tokens]:
        """The tokens of each day (UTC, by the server), such as 2026-11-22."""
        return self._sums(self._keys.cost_days)

    def task(self, task_id: str) -> Tokens:
        """The tokens of one task."""
        with self._store.errors():
            return _tokens(self._store.client.hget(self._keys.cost_tasks, task_id))

    def today(self) -> str:
        """The server's date."""
        with self._store.errors():
            seconds = int(self._store.client.time()[0])
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()

    def begin(self, transcript: Path, place: ReadPosition, since_ms: int) -> None:
        """Count a transcript from `place` and `since_ms` on, unless it has been read before."""
        packed = place.pack(task="", event=str(since_ms))
        with self._store.errors():
            self._store.client.set(
                self._keys.cost_read(str(transcript)), packed, nx=True, px=MEMORY_MS
            )

    def account(
        self,
        agent: Agent,
        transcript: Path,
        config: Config,
        held: str = "",
        *,
        begun: bool = False,
        reader: TranscriptReader | None = None,
    ) -> Tokens:
        """Read a transcript onwards and add its tokens to the sums; returns them.

        A message counts for the task that the agent had claimed when it was written, and the rest
        of a turn for the task that was submitted in it. `held` is the task that the agent, or the
        session of a sub-agent, holds now. A transcript is read from its beginning if it `begun`
        with this agent, else from the position that `begin` noted. `reader` may have read it for
        another purpose.
        """
        for _ in range(MAX_TRIES):
            known = self._known(transcript)
            if not known and not begun:
                return Tokens()
            place, before = _unpacked(known)
            spent, after = read(transcript, place, reader)
            event, claims = self._claims(agent, before.get("event", str(agent.joined_ms)))
            packed = after.pack(task=held, event=event)
            parts = _by_task(spent, before.get("task", held), claims)
            if after == place or self._add(transcript, known, packed, agent, config, parts):
                return sum(parts.values(), Tokens())
        return Tokens()

    def reached(self, config: Config) -> Sequence[Budget]:
        """The budgets that pause the crew or a task's holder now: reached, not lifted, and not
        raised since; the day's first.
        """
        if not (config.budget_day_tokens or config.budget_task_tokens):
            return []
        with self._store.errors():
            noted: Mapping[str, str] = self._store.client.hgetall(self._keys.cost_budgets)
        limits = {"day": config.budget_day_tokens, "task": config.budget_task_tokens}
        today = f"day:{self.today()}"
        found = []
        for field, value in sorted(noted.items()):
            kind, _, of = field.partition(":")
            if value == str(limits.get(kind)) and (kind != "day" or field == today):
                sums = self._keys.cost_days if kind == "day" else self._keys.cost_tasks
                with self._store.errors():
                    used = _tokens(self._store.client.hget(sums, of)).total
                found.append(Budget(kind, of, used, limits[kind]))
        return found

    def lift(self) -> None:
        """Lift the budgets that were reached: the same limit pauses no agent again, on that day or
        for that task.
        """
        with self._store.errors():
            noted = self._store.client.hgetall(self._keys.cost_budgets)
            for field, value in noted.items():
                if not value.endswith(LIFTED):
                    self._store.client.hset(self._keys.cost_budgets, field, value + LIFTED)

    def enforce(self, agents: Sequence[Agent], config: Config, tasks: Mapping[str, str]) -> None:
        """Pause the agents that a reached budget concerns, and resume those that none concerns any
        more. `tasks`: agent → the task it holds.
        """
        reached = self.reached(config)
        day = next((budget for budget in reached if budget.kind == "day"), None)
        of_task = {budget.of: budget for budget in reached if budget.kind == "task"}
        crew = [agent for agent in agents if agent.kind in CREW_KINDS]
        states = WorkStates(self._store)
        for agent, now in zip(crew, states.of([agent.id for agent in crew]).values(), strict=True):
            budget = day or of_task.get(tasks.get(agent.id, ""))
            with suppress(AgentGone):  # it has ended meanwhile
                if budget and not now.paused:
                    states.pause(agent, budget.reason(), PAUSED_BY)
                elif not budget and now.paused and now.paused_by == PAUSED_BY:
                    states.resume(agent)

    def _sums(self, key: str) -> dict[str, Tokens]:
        with self._store.errors():
            found: Mapping[str, str] = self._store.client.hgetall(key)
        return {name: _tokens(text) for name, text in found.items()}

    def _known(self, transcript: Path) -> str:
        with self._store.errors():
            return self._store.client.get(self._keys.cost_read(str(transcript))) or ""

    def _claims(self, agent: Agent, since: str) -> tuple[str, list[tuple[int, str]]]:
        """The newest event's id, and the agent's claims since an earlier one: time and task."""
        newest, claims = since, list[tuple[int, str]]()
        for event in Events(self._store).replay(since):
            newest = event.id
            if event.type == "task_claimed" and event.fields.get("agent") == agent.id:
                claims.append(
                    (int(event.fields.get("at_ms", 0)), str(event.fields.get("task", "")))
                )
        return newest, claims

    def _add(
        self,
        transcript: Path,
        known: str,
        packed: str,
        agent: Agent,
        config: Config,
        parts: Mapping[str, Tokens],
    ) -> bool:
        sums = [part for task, tokens in parts.items() for part in (task, *tokens.figures())]
        reply = self._store.run(
            "usage/add",
            transcript=str(transcript),
            before=known,
            after=packed,
            memory_ms=MEMORY_MS,
            agent=agent.id,
            day_limit=config.budget_day_tokens,
            task_limit=config.budget_task_tokens,
            sums=sums,
        )
        return bool(reply[0] == Reply.OK)


def _by_task(
    spent: Iterable[Spent], task: str, claims: Sequence[tuple[int, str]]
) -> dict[str, Tokens]:
    """The tokens of each task, beginning with the one held at the last reading; those without a
    time count as used just now.
    """
    parts: dict[str, Tokens] = {}
    waiting = sorted(claims)
    for each in spent:
        while waiting and (each.at_ms >= waiting[0][0] or each.at_ms <= 0):
            task = waiting.pop(0)[1]
        parts[task] = parts.get(task, Tokens()) + each.tokens
    return parts


def _unpacked(known: str) -> tuple[ReadPosition, dict[str, str]]:
    try:
        return unpack(known) if known else (ReadPosition(), {})
    except ValueError:  # written by hand: what may have been counted must not be counted again
        return ReadPosition(offset=1 << 62), {}


def _tokens(text: str | None) -> Tokens:
    figures = [int(part) for part in (text or "").split() if part.isdecimal() and len(part) < 20]
    return Tokens(*figures) if len(figures) == 5 else Tokens()
