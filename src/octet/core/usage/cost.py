"""What the work costs, in tokens: sums by agent, task and day, and the budgets that pause the crew.

The sums are kept by the script that notes how far a transcript was read, so that nothing counts
twice. Tokens only: what one costs differs by model, kind and contract, and a price table would be
wrong before long.
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
# A transcript is read again when somebody else was faster; who loses so often leaves it to the
# others.
MAX_TRIES = 5
PAUSED_BY = "budget"  # in an agent's standing
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
        """Why an agent is paused, for people."""
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
        """What each agent has used, also those that have ended."""
        return self._sums(self._keys.cost_agents)

    def tasks(self) -> dict[str, Tokens]:
        """What was used for each task."""
        return self._sums(self._keys.cost_tasks)

    def days(self) -> dict[str, Tokens]:
        """What was used on each day (UTC, the server's), such as 2026-11-22."""
        return self._sums(self._keys.cost_days)

    def task(self, task_id: str) -> Tokens:
        """What was used for one task."""
        with self._store.errors():
            return _tokens(self._store.client.hget(self._keys.cost_tasks, task_id))

    def today(self) -> str:
        """The server's date."""
        with self._store.errors():
            seconds = int(self._store.client.time()[0])
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()

    def begin(self, transcript: Path, place: ReadPosition, since_ms: int) -> None:
        """Count what is written behind `place`, from `since_ms` on; nothing changes where the
        transcript has been read already.
        """
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
        """Read on in a transcript and add what it says to the sums; returns that.

        A message belongs to the task that the agent had claimed when it was written; what a turn
        says after it has handed the task on, still to that. `held` is the task that the agent holds
        now, a sub-agent through its session. A transcript that was never read is read from its
        beginning if it has `begun` with this agent, else from its end. `reader` may have read it
        for another purpose.
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
        """The budgets that hold the crew, or a task's holder, now: reached, not lifted, and not
        made greater since; the day's first.
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
        """Let those go on whom a budget has paused: the same limit pauses nobody again, today or on
        that task.
        """
        with self._store.errors():
            noted = self._store.client.hgetall(self._keys.cost_budgets)
            for field, value in noted.items():
                if not value.endswith(LIFTED):
                    self._store.client.hset(self._keys.cost_budgets, field, value + LIFTED)

    def enforce(self, agents: Sequence[Agent], config: Config, tasks: Mapping[str, str]) -> None:
        """Pause whom a budget that was reached concerns, and let go whom none does any more.
        `tasks`: agent → the task it holds.
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
        """The newest event there is, and the agent's claims since an earlier one: when, which task."""
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
    """What was used for each task, beginning with the one that was held at the last reading.

    What does not say when it was used was so just now.
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
    except ValueError:  # somebody wrote it by hand: what may have been counted is not counted again
        return ReadPosition(offset=1 << 62), {}


def _tokens(text: str | None) -> Tokens:
    figures = [int(part) for part in (text or "").split() if part.isdecimal() and len(part) < 20]
    return Tokens(*figures) if len(figures) == 5 else Tokens()
