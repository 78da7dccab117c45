"""Tasks: add, claim by priority then age, progress, submit, complete, fail, release.

Each method is one Lua script. A claim returns a fencing token that only grows; every later write shows it,
and one that is no longer the current claim's is refused with `StaleToken`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from octet.agents import Agent
from octet.errors import AgentGone, IllegalTransition, NotFound, NothingToClaim, OctetError, Refused, StaleToken, UsageError
from octet.store.keys import Keys
from octet.store.scripts import Reply, Store, as_mapping, from_json, to_json

ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MOST_TITLE = 500
MOST_TEXT = 64 * 1024
MOST_PRIORITY = 1000


class State(StrEnum):
    """Where a task is in its life; `pending` and `submitted` wait in a queue."""

    PENDING = "pending"
    CLAIMED = "claimed"
    SUBMITTED = "submitted"
    MERGING = "merging"
    DONE = "done"
    DEAD = "dead"


@dataclass(frozen=True)
class Stage:
    """A step of the path from task to merge: what waits for it, and what a task is called while it is worked on."""

    name: str
    waiting: State
    working: State
    role: str


STAGES = {
    "build": Stage("build", State.PENDING, State.CLAIMED, "developer"),
    "merge": Stage("merge", State.SUBMITTED, State.MERGING, "repository-guardian"),
}


@dataclass(frozen=True)
class Task:
    """One task as it was when it was read. Times are server time in ms since the epoch, 0 when it never happened."""

    id: str
    title: str
    state: str
    stage: str = "build"
    priority: float = 0
    description: str = ""
    labels: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    holder: str = ""
    token: str = ""
    attempts: int = 0
    max_attempts: int = 3
    progress: float = 0
    note: str = ""
    author: str = ""
    branch: str = ""
    commit: str = ""
    merge_commit: str = ""
    result: str = ""
    findings: str = ""
    last_reason: str = ""
    rescue_ref: str = ""
    rescue_size: str = ""
    created_by: str = ""
    created_ms: int = 0
    claimed_ms: int = 0
    updated_ms: int = 0
    done_ms: int = 0

    @classmethod
    def from_hash(cls, fields: dict[str, str]) -> Task:
        """A task from its Redis hash; a field that somebody spoiled by hand falls back to its default."""
        known = {name: fields[name] for name in cls.__dataclass_fields__ if name in fields}
        values: dict[str, object] = dict(known)
        for name in ("attempts", "max_attempts", "created_ms", "claimed_ms", "updated_ms", "done_ms"):
            values[name] = int(_number(known.get(name)))
        for name in ("priority", "progress"):
            values[name] = _number(known.get(name))
        for name in ("labels", "paths"):
            values[name] = _strings(known.get(name))
        values.setdefault("id", "")
        values.setdefault("title", "")
        values.setdefault("state", "")
        return cls(**values)  # type: ignore[arg-type]


def _number(text: str | None) -> float:
    try:
        number = float((text or "0").rstrip("%"))
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _strings(text: str | None) -> tuple[str, ...]:
    if not text or text == "[]":
        return ()
    try:
        found = from_json(text)
    except ValueError:
        return ()
    return tuple(str(item) for item in found) if isinstance(found, list) else ()


class Tasks:
    """The tasks of one project."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys: Keys = store.keys

    def add(
        self,
        title: str,
        *,
        description: str = "",
        priority: float = 0,
        task_id: str | None = None,
        labels: Sequence[str] = (),
        paths: Sequence[str] = (),
        max_attempts: int = 3,
        created_by: str = "",
    ) -> Task:
        """Store a task and queue it; when this returns, the task is in the store.

        Args:
            priority: -1000 to 1000 in thousandths, higher is claimed first.
            paths: globs, relative to the repository, that the work is expected to touch.

        Raises:
            UsageError: a field is out of its bounds, or the id is taken.
        """
        _check_new(title, description, priority, task_id, max_attempts)
        fields = {
            "description": description,
            "labels": to_json(list(labels)),
            "paths": to_json(list(paths)),
            "max_attempts": str(max_attempts),
            "created_by": created_by,
        }
        keys = self._keys
        flat = [part for pair in fields.items() for part in pair]
        reply = self._store.run(
            "task_add",
            [keys.task_seq, keys.task(""), keys.priority, keys.log],
            [task_id or "", round(float(priority), 3), keys.channel(""), title, *flat],
        )
        if reply[0] == Reply.EXISTS:
            raise UsageError(f"task id {task_id} is taken: leave --id out or choose another")
        return self.get(reply[1])

    def get(self, task_id: str) -> Task:
        """Read one task.

        Raises:
            NotFound: there is none with that id.
        """
        with self._store.errors():
            fields = self._store.client.hgetall(self._keys.task(task_id))
        if not fields:
            raise NotFound(f"no task {task_id}: `octet task list` shows them")
        return Task.from_hash({**fields, "id": task_id})

    def list(self, state: str | None = None, limit: int = 100) -> Sequence[Task]:
        """At most `limit` tasks, those in work first, then the queues in order of claim, then the finished, latest first.

        Raises:
            UsageError: there is no such state.
        """
        if state is not None and state not in set(State):
            raise UsageError(f"no state {state!r}: choose one of {', '.join(State)}")
        ids: dict[str, None] = {}  # in order; a task that moves on while this reads is met twice
        for wanted in [State(state)] if state else _LISTED:
            ids |= dict.fromkeys(self._ids(wanted, limit - len(ids)))
        return self._read(ids)

    def _read(self, ids: Iterable[str]) -> Sequence[Task]:
        """The tasks of `ids`, without those that have no record."""
        with self._store.errors():
            pipe = self._store.client.pipeline(transaction=False)
            for task_id in ids:
                pipe.hgetall(self._keys.task(task_id))
            found = pipe.execute(raise_on_error=False)
        records = zip(ids, found, strict=True)
        return [Task.from_hash({**fields, "id": task_id}) for task_id, fields in records if fields and isinstance(fields, dict)]

    def _ids(self, state: State, limit: int) -> Sequence[str]:
        if limit <= 0:
            return []
        key = self._keys.priority if state == State.PENDING else self._keys.state(state)
        with self._store.errors():
            ids: list[str] = self._store.client.zrevrange(key, 0, limit - 1)
        return ids

    def counts(self) -> dict[str, int]:
        """How many tasks are in each state; values that wait unread on the plain list count as pending."""
        with self._store.errors():
            pipe = self._store.client.pipeline(transaction=False)
            pipe.llen(self._keys.pending)
            for state in State:
                pipe.zcard(self._keys.priority if state == State.PENDING else self._keys.state(state))
            raw, *counts = pipe.execute()
        found = dict(zip((str(state) for state in State), counts, strict=True))
        found[State.PENDING] += raw
        return found

    def claim(self, agent: Agent, stage: str = "build", task_id: str | None = None, most: int = 1) -> Task:
        """Give `agent` the first waiting task of a stage: highest priority, then oldest.

        An agent that holds `most` claims already gets one of those again: a claim repeated after a lost answer is safe.

        Raises:
            NothingToClaim: the queue is empty.
            Refused: it holds `most` claims, none of which is the task or of the stage asked for.
            NotFound, IllegalTransition: the task asked for does not exist or does not wait.
            AgentGone: the agent was declared dead in the meantime.
            UsageError: there is no such stage.
        """
        if stage not in STAGES:
            raise UsageError(f"no stage {stage!r}: choose one of {', '.join(STAGES)}")
        step = STAGES[stage]
        keys = self._keys
        queue = keys.priority if stage == "build" else keys.stage(stage)
        reply = self._store.run(
            "task_claim",
            [
                keys.pending,
                keys.priority,
                queue,
                keys.task(""),
                keys.claims(agent.id),
                keys.incarnations,
                keys.token,
                keys.task_seq,
                keys.state(""),
                keys.log,
            ],
            [agent.id, agent.incarnation, step.waiting, step.working, most, task_id or "", keys.channel(""), stage],
        )
        if reply[0] in (Reply.OK, Reply.HAS):
            task = Task.from_hash({**as_mapping(reply[2]), "id": reply[1]})
            if reply[0] == Reply.HAS and (task.stage != stage or (task_id and task.id != task_id)):
                raise Refused(f"{agent.id} holds task {task.id} already: submit, complete, fail or release it first")
            return task
        if reply[0] == Reply.EMPTY:
            raise NothingToClaim(f"nothing waits for the {stage} stage")
        raise _refusal(reply, task_id or "", "claim", step.waiting)

    def progress(self, task_id: str, token: str, percent: float, note: str = "") -> None:
        """Record progress, 0 to 100.

        Raises:
            StaleToken, IllegalTransition, NotFound: as for every write under a claim.
        """
        if not 0 <= percent <= 100:
            raise UsageError(f"progress is 0 to 100, not {percent:g}")
        keys = self._keys
        reply = self._store.run(
            "task_progress", [keys.task(task_id), keys.log], [task_id, token, f"{percent:g}", note[:MOST_TITLE], keys.channel("")]
        )
        _check(reply, task_id, "report progress on", "claimed, merging")

    def submit(self, task_id: str, token: str, *, branch: str = "", commit: str = "", note: str = "") -> None:
        """Hand built work on to the next stage; the claim and the task's locks end with it."""
        keys = self._keys
        reply = self._store.run(
            "task_submit",
            [
                keys.task(task_id),
                keys.stage("merge"),
                keys.state(""),
                keys.claims(""),
                keys.agent_locks(""),
                keys.lock(""),
                keys.locks_index,
                keys.log,
            ],
            [task_id, token, branch, commit, note[:MOST_TEXT], keys.channel(""), "merge"],
        )
        _check(reply, task_id, "submit", State.CLAIMED)

    def complete(self, task_id: str, token: str, result: str = "", merge_commit: str = "") -> None:
        """Mark the task done. One with a branch is done only from the merge stage. Repeating it with the same token is harmless."""
        keys = self._keys
        reply = self._store.run(
            "task_complete",
            [keys.task(task_id), keys.state(""), keys.claims(""), keys.agent_locks(""), keys.lock(""), keys.locks_index, keys.log],
            [task_id, token, result[:MOST_TEXT], merge_commit, keys.channel("")],
        )
        _check(reply, task_id, "complete", State.MERGING)

    def fail(self, task_id: str, token: str, reason: str) -> State:
        """Give the task back as failed; after `max_attempts` it is dead. Returns its new state."""
        return self._give_back(task_id, token, reason, counts=True)

    def release(self, task_id: str, token: str, note: str = "") -> State:
        """Give the task back untried; no attempt is counted. Returns its new state."""
        return self._give_back(task_id, token, note or "released", counts=False)

    def send_back(self, task_id: str, token: str, findings: str) -> None:
        """From a later stage: the work is to be built again, for the reasons given."""
        keys = self._keys
        reply = self._store.run(
            "task_return",
            [
                keys.task(task_id),
                keys.priority,
                keys.state(""),
                keys.claims(""),
                keys.agent_locks(""),
                keys.lock(""),
                keys.locks_index,
                keys.log,
            ],
            [task_id, token, findings[:MOST_TEXT], keys.channel("")],
        )
        _check(reply, task_id, "send back", State.MERGING)

    def _give_back(self, task_id: str, token: str, reason: str, *, counts: bool) -> State:
        keys = self._keys
        reply = self._store.run(
            "task_give_back",
            [
                keys.task(task_id),
                keys.task(""),
                keys.priority,
                keys.stage(""),
                keys.state(""),
                keys.claims(""),
                keys.agent_locks(""),
                keys.lock(""),
                keys.locks_index,
                keys.log,
            ],
            [task_id, token, reason[:MOST_TEXT], "1" if counts else "0", keys.channel("")],
        )
        _check(reply, task_id, "fail" if counts else "release", "claimed, merging")
        return State(reply[1])

    def held_by(self, agent_id: str) -> Sequence[Task]:
        """The tasks that an agent holds now."""
        with self._store.errors():
            ids = sorted(self._store.client.smembers(self._keys.claims(agent_id)))
        return [task for task in self._read(ids) if task.holder == agent_id] if ids else []


_LISTED = (State.CLAIMED, State.MERGING, State.SUBMITTED, State.PENDING, State.DEAD, State.DONE)


def _check_new(title: str, description: str, priority: float, task_id: str | None, max_attempts: int) -> None:
    if not title.strip():
        raise UsageError("a task needs a title")
    if len(title) > MOST_TITLE:
        raise UsageError(f"a title has at most {MOST_TITLE} characters: put the rest into the description")
    if len(description) > MOST_TEXT:
        raise UsageError(f"a description has at most {MOST_TEXT} characters: put the rest into a file of the repository")
    if not -MOST_PRIORITY <= priority <= MOST_PRIORITY:
        raise UsageError(f"priority is -{MOST_PRIORITY} to {MOST_PRIORITY}, not {priority:g}")
    if task_id is not None and not ID_PATTERN.fullmatch(task_id):
        raise UsageError(f"task id {task_id!r}: use letters, digits, '.', '_' and '-' (64 at most)")
    if max_attempts < 1:
        raise UsageError(f"max_attempts is 1 or more, not {max_attempts}")


def _check(reply: list[str], task_id: str, step: str, allowed: str) -> None:
    if reply[0] != Reply.OK:
        raise _refusal(reply, task_id, step, allowed)


def _refusal(reply: list[str], task_id: str, step: str, allowed: str) -> OctetError:
    if reply[0] == Reply.MISSING:
        return NotFound(f"no task {task_id}: `octet task list` shows them")
    if reply[0] == Reply.STATE:
        return IllegalTransition(task_id, reply[1], step, allowed)
    if reply[0] == Reply.STALE:
        now = f"{reply[1]}, held by {reply[2]}" if reply[2] else reply[1]
        return StaleToken(f"cannot {step} task {task_id}: this claim has ended (the task is {now} now); stop work on it and claim again")
    if reply[0] == Reply.GONE:
        return AgentGone("this agent was declared dead and its work given back: claim again")
    raise AssertionError(f"a script answered {reply!r}")
