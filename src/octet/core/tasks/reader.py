"""Reading tasks: one, many, by state, in the order of claims. Nothing here changes a task."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

from octet.base.errors import NotFound, UsageError
from octet.base.vocabulary import BUILD
from octet.core.tasks.record import HELD_STATES, STAGES, Stage, Task, TaskState
from octet.core.tasks.verdicts import Record, read_records
from octet.store.keys import Keys
from octet.store.scripts import Store

_LISTED = (
    *HELD_STATES,
    TaskState.SUBMITTED,
    TaskState.PENDING,
    TaskState.BLOCKED,
    TaskState.DEAD,
    TaskState.CANCELLED,
    TaskState.DONE,
)

# How many of the first in each queue go into its fingerprint, beside its length.
MAX_FINGERPRINTED = 20


def stage_named(name: str) -> Stage:
    """The stage of a name.

    Raises:
        UsageError: there is no such stage.
    """
    if name not in STAGES:
        raise UsageError(f"no stage {name!r}: choose one of {', '.join(STAGES)}")
    return STAGES[name]


class TaskReader:
    """The tasks of one project, read only."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys: Keys = store.keys

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
        """At most `limit` tasks: those in work, then the queues in the order of claims, then the
        finished, latest first.

        Raises:
            UsageError: there is no such state.
        """
        if state is not None and state not in set(TaskState):
            raise UsageError(f"no state {state!r}: choose one of {', '.join(TaskState)}")
        ids: dict[str, None] = {}  # ordered; a task that moves while this reads is found twice
        for wanted in [TaskState(state)] if state else _LISTED:
            ids |= dict.fromkeys(self._ids(wanted, limit - len(ids)))
        return self._read(ids)

    def _read(self, ids: Iterable[str]) -> Sequence[Task]:
        """The tasks of `ids` that have a record."""
        with self._store.errors():
            pipe = self._store.client.pipeline(transaction=False)
            for task_id in ids:
                pipe.hgetall(self._keys.task(task_id))
            found = pipe.execute(raise_on_error=False)
        records = zip(ids, found, strict=True)
        return [
            Task.from_hash({**fields, "id": task_id})
            for task_id, fields in records
            if fields and isinstance(fields, dict)
        ]

    def _ids(self, state: TaskState, limit: int) -> Sequence[str]:
        if limit <= 0:
            return []
        if state == TaskState.PENDING:
            return self._pending_ids(limit)
        with self._store.errors():
            ids: list[str] = self._store.client.zrevrange(self._keys.state(state), 0, limit - 1)
        return ids

    def _pending_ids(self, limit: int) -> Sequence[str]:
        """The ids in all queues of the work stages, in the order of claims."""
        with self._store.errors():
            pipe = self._store.client.pipeline(transaction=False)
            for queue in self._pending_queues():
                pipe.zrevrange(queue, 0, limit - 1, withscores=True)
            found = [entry for entries in pipe.execute() for entry in entries]
        return [task_id for task_id, _ in sorted(found, key=lambda entry: -entry[1])][:limit]

    def _pending_queues(self) -> Sequence[str]:
        names = sorted(self._store.client.smembers(self._keys.queues))
        return [self._keys.priority, *(self._keys.stage(name.removesuffix(":")) for name in names)]

    def counts(self) -> dict[str, int]:
        """The number of tasks by state; unread values of the plain list count as pending."""
        others = [state for state in TaskState if state != TaskState.PENDING]
        with self._store.errors():
            pipe = self._store.client.pipeline(transaction=False)
            for state in others:
                pipe.zcard(self._keys.state(state))
            pipe.llen(self._keys.pending)
            for queue in self._pending_queues():
                pipe.zcard(queue)
            found = pipe.execute()
        counts = dict(zip(others, found, strict=False)) | {
            TaskState.PENDING: sum(found[len(others) :])
        }
        return {str(state): counts[state] for state in TaskState}

    def queued(self, stage: str, limit: int = 100) -> Sequence[Task]:
        """The tasks that wait for a gate, in the order of claims.

        Raises:
            UsageError: there is no such stage.
        """
        with self._store.errors():
            ids = self._store.client.zrevrange(
                self._keys.stage(stage_named(stage).name), 0, limit - 1
            )
        return self._read(ids)

    def waiting(self, stage: str) -> int:
        """The number of tasks that wait for a stage.

        Raises:
            UsageError: there is no such stage.
        """
        with self._store.errors():
            return sum(count for count, _ in self._queued(stage, 1))

    def fingerprint(self, stage: str) -> str:
        """A word for what waits for a stage and how much is in flight, which changes when they do;
        "" when nothing waits.

        Raises:
            UsageError: there is no such stage.
        """
        with self._store.errors():
            queued = self._queued(stage, MAX_FINGERPRINTED)
            in_flight = self._store.client.hlen(self._keys.scopes)
        if not sum(count for count, _ in queued):
            return ""
        return f"{stage}:{zlib.crc32(repr((queued, in_flight)).encode()):08x}"

    def _queued(self, stage: str, limit: int) -> Sequence[tuple[int, Sequence[str]]]:
        """The length of each queue of a stage, and its first `limit` ids."""
        keys, step = self._keys, stage_named(stage)
        queues = [keys.stage(stage)]
        if step.waiting == TaskState.PENDING:
            names = sorted(self._store.client.smembers(keys.queues))
            own = [
                keys.stage(name.removesuffix(":")) for name in names if name.startswith(f"{stage}:")
            ]
            queues = [keys.priority, *own] if stage == BUILD else own
        pipe = self._store.client.pipeline(transaction=False)
        for queue in queues:
            pipe.zcard(queue)
            pipe.zrevrange(queue, 0, limit - 1)
        if stage == BUILD:
            pipe.llen(keys.pending)
            pipe.lrange(keys.pending, -limit, -1)
        found = pipe.execute()
        return list(zip(found[::2], found[1::2], strict=True))

    def records(self, task_id: str) -> Sequence[Record]:
        """The gates' records of the task, oldest first; the last hundred."""
        with self._store.errors():
            return read_records(self._store.client.hgetall(self._keys.reviews(task_id)))

    def held_by(self, agent_id: str) -> Sequence[Task]:
        """The tasks that an agent holds."""
        with self._store.errors():
            ids = sorted(self._store.client.smembers(self._keys.claims(agent_id)))
        return [task for task in self._read(ids) if task.holder == agent_id] if ids else []

    def read(self, task_ids: Iterable[str]) -> Sequence[Task]:
        """The tasks of these ids that exist."""
        wanted = list(task_ids)
        return self._read(wanted) if wanted else []
