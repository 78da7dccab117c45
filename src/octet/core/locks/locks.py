"""Locks: leases on named resources, all or nothing, re-entrant, released only with their token.

A lock lives as long as its agent, whose heartbeat renews it, and ends with its task, its turn, its
release or its TTL. Waiters get it in the order of arrival. An agent passes the first in the queue
only where that one waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from octet.base.errors import (
    AgentGone,
    Deadlock,
    LockAwaited,
    LockHeld,
    NotFound,
    StaleToken,
    UsageError,
)
from octet.core.agents.registry import LOCK_TTL_MS, Agent
from octet.core.locks.names import canonical, is_wide
from octet.core.locks.waiting import QueuePlace, wait_for_turn
from octet.store.scripts import Reply, Store, from_json

SCOPES = ("turn", "own")


@dataclass(frozen=True)
class LockWaiter:
    """An agent that waits for a lock, since `since_ms` (server time)."""

    agent: str
    since_ms: int


@dataclass(frozen=True)
class Lock:
    """One lock in force."""

    resource: str
    holder: str
    token: str = ""
    scope: str = "own"  # turn, task or own: what it ends with
    task: str = ""
    since_ms: int = 0  # server time
    ttl_ms: int = -1  # what is left; -1: for ever
    waiting: tuple[LockWaiter, ...] = ()  # for it or a path in it, oldest first (`Locks.list`)
    wide: bool = False  # whether it covers other paths

    @classmethod
    def from_value(
        cls, resource: str, value: str, ttl_ms: int, waiting: tuple[LockWaiter, ...] = ()
    ) -> Lock:
        """A lock from its Redis value; of one set by hand only the holder is known."""
        wide = is_wide(resource)
        try:
            record = from_json(value)
        except ValueError:
            record = None
        if not isinstance(record, dict) or not isinstance(record.get("holder"), str):
            return cls(resource, value, ttl_ms=ttl_ms, waiting=waiting, wide=wide)
        texts = {
            name: record[name]
            for name in ("holder", "token", "scope", "task")
            if isinstance(record.get(name), str)
        }
        since = record.get("since_ms")
        since_ms = int(since) if isinstance(since, float | int) and isfinite(since) else 0
        return cls(resource, **texts, since_ms=since_ms, ttl_ms=ttl_ms, waiting=waiting, wide=wide)


class Locks:
    """The locks of one project."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    def acquire(
        self,
        agent: Agent,
        resources: Sequence[str],
        *,
        scope: str = "own",
        ttl_ms: int = LOCK_TTL_MS,
    ) -> Mapping[str, str]:
        """Acquire all of `resources` or none; returns resource → fencing token.

        Args:
            resources: a directory (`path:src/`) or a glob (`path:src/*.py`) covers what lies in it.
            scope: "turn" (freed at the turn's end, or with its task while the agent has one) or
                "own" (until released).
            ttl_ms: how long the lock outlives its last renewal.

        Raises:
            LockHeld: another agent holds one of them, or (`LockAwaited`) has waited longer for it.
            AgentGone: the agent was declared dead.
            UsageError: a resource is of no known kind, or the scope or TTL is invalid.
        """
        return self._acquire(agent, resources, scope, ttl_ms, None)

    def acquire_when_free(
        self,
        agent: Agent,
        resources: Sequence[str],
        wait_s: float,
        *,
        scope: str = "own",
        ttl_ms: int = LOCK_TTL_MS,
        stop: threading.Event | None = None,
    ) -> Mapping[str, str]:
        """Acquire all of `resources` when all are free, in the order of arrival, within `wait_s`
        seconds; holds none until then.

        Where `wait_s` exceeds the agent's lease, its machine's daemon or `Agents.heartbeat` must
        keep it alive. `stop` and Ctrl-C end the wait within a second.

        Raises:
            Deadlock: waiting for one of them would close a wait cycle.
            LockHeld, AgentGone, UsageError: as `acquire`, when the time is over.
        """
        if wait_s <= 0:
            return self._acquire(agent, resources, scope, ttl_ms, None)
        return wait_for_turn(
            self._store,
            lambda place: self._acquire(agent, resources, scope, ttl_ms, place),
            wait_s,
            stop,
        )

    def _acquire(
        self,
        agent: Agent,
        resources: Sequence[str],
        scope: str,
        ttl_ms: int,
        place: QueuePlace | None,
    ) -> Mapping[str, str]:
        names = [canonical(resource) for resource in resources]
        if scope not in SCOPES or ttl_ms < 1:
            raise UsageError(
                f"a lock's scope is turn or own and its TTL 1 ms or more, not {scope!r} and "
                f"{ttl_ms}"
            )
        reply = self._store.run(
            "lock/acquire",
            agent=agent.id,
            incarnation=agent.incarnation,
            parent=agent.parent,
            ttl_ms=int(ttl_ms),
            scope=scope,
            waiter=place.waiter if place else "",
            ticket=place.ticket if place else "",
            resources=names,
        )
        if reply[0] == Reply.GONE:
            raise AgentGone(f"{agent.id} was declared dead and its work given back")
        if reply[0] == Reply.DEADLOCK:
            raise Deadlock(agent.id, tuple(zip(reply[1::2], reply[2::2], strict=True)))
        if place and reply[0] in (Reply.HELD, Reply.BEHIND):
            place.ticket = reply[-1]
        if reply[0] == Reply.HELD:
            raise _held(reply[4], Lock.from_value(reply[1], reply[2], reply[3]), reply[5])
        if reply[0] == Reply.BEHIND:
            raise LockAwaited(reply[3], reply[1], since_ms=int(reply[2]), waiting=reply[4])
        return dict(zip(resources, reply[1:], strict=True))

    def release(self, resource: str, token: str) -> None:
        """Release a lock.

        Raises:
            NotFound: it is not locked.
            StaleToken: another agent holds it, or the same one acquired it anew.
        """
        self._release(resource, token, "")

    def break_lock(self, resource: str, by: str) -> str:
        """Release another's lock, on a person's word (`by`, for the log); returns its holder.

        Raises:
            NotFound: it is not locked.
        """
        return self._release(resource, "", by or "?")

    def end_turn(self, agent: Agent) -> Sequence[str]:
        """Release the agent's locks of scope turn that belong to no task; returns the resources,
        none for an agent that is gone.
        """
        reply = self._store.run("lock/end_turn", agent=agent.id, incarnation=agent.incarnation)
        return reply[1:]

    def freed(self, agent: Agent, *, told: Sequence[str] = ()) -> tuple[int, Sequence[str]]:
        """The resources that were denied to the agent's tool calls in the last hour and that it has
        not acquired since: how many, and which are free now.

        `told`: those that it has been told of, which are forgotten.
        """
        reply = self._store.run("lock/freed", agent=agent.id, told=told)
        return reply[1], reply[2:]

    def get(self, resource: str) -> Lock:
        """One lock, which may have been set by hand.

        Raises:
            NotFound: it is not locked.
        """
        resource = canonical(resource)
        key = self._keys.lock(resource)
        with self._store.errors():
            pipe = self._store.client.pipeline(transaction=False)
            value, ttl_ms = pipe.get(key).pttl(key).execute()
        if value is None:
            raise NotFound(f"{resource} is not locked")
        return Lock.from_value(resource, value, ttl_ms)

    def list(self) -> Sequence[Lock]:
        """Every lock in force with its waiters, by resource."""
        reply = self._store.run("lock/list")
        rows = [reply[i : i + 4] for i in range(1, len(reply), 4)]
        found = [
            Lock.from_value(resource, value, ttl_ms, _waiting(flat))
            for resource, value, ttl_ms, flat in rows
        ]
        return sorted(found, key=lambda lock: lock.resource)

    def _release(self, resource: str, token: str, by: str) -> str:
        resource = canonical(resource)
        reply = self._store.run("lock/release", resource=resource, token=token, by=by)
        if reply[0] == Reply.MISSING:
            raise NotFound(f"{resource} is not locked")
        if reply[0] == Reply.STALE:
            raise StaleToken(f"this lock of {resource} is over: {reply[1]} holds it now")
        return str(reply[1])


def _held(resource: str, lock: Lock, waiting: int) -> LockHeld:
    return LockHeld(
        resource,
        lock.holder,
        scope=lock.scope,
        task=lock.task,
        since_ms=lock.since_ms,
        ttl_ms=lock.ttl_ms,
        by=lock.resource,
        waiting=waiting,
    )


def _waiting(flat: Sequence[str]) -> tuple[LockWaiter, ...]:
    return tuple(
        LockWaiter(agent, int(since)) for agent, since in zip(flat[::2], flat[1::2], strict=True)
    )
