"""Locks: leases on named resources, all or nothing, re-entrant for the holder, released with their
token only.

A lock lives as long as its agent (whose heartbeat renews it) and ends with its task, its turn, its
release, or its TTL. Who waits for one gets it in the order of arrival; nobody passes, but for those
for whom the first in the queue waits itself.
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
    """One lock in force. `scope` is turn, task or own; `since_ms` is server time, `ttl_ms` what is
    left (-1: for ever).

    `waiting`, oldest first, are those that `Locks.list` finds waiting for it or for a path that it
    covers; `wide`: whether it covers any.
    """

    resource: str
    holder: str
    token: str = ""
    scope: str = "own"
    task: str = ""
    since_ms: int = 0
    ttl_ms: int = -1
    waiting: tuple[LockWaiter, ...] = ()
    wide: bool = False

    @classmethod
    def from_value(
        cls, resource: str, value: str, ttl_ms: int, waiting: tuple[LockWaiter, ...] = ()
    ) -> Lock:
        """A lock from its Redis value; one set by hand holds nothing but the holder's name."""
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
        """Take all of `resources` or none; returns resource → fencing token.

        Args:
            resources: a directory (`path:src/`) or a glob (`path:src/*.py`) covers what lies in it.
            scope: "turn" (freed at the turn's end, or with its task while the agent has one) or
                "own" (until released).
            ttl_ms: how long the lock outlives its last renewal.

        Raises:
            LockHeld: another agent holds one of them, or (`LockAwaited`) has waited for it; nothing
                was taken.
            AgentGone: the agent was declared dead in the meantime.
            UsageError: a resource is not of a known kind, or the scope or TTL makes no sense.
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
        """Take all of `resources` as soon as all are free, first come first served, waiting at most
        `wait_s` seconds; holds none meanwhile.

        The agent must be kept alive by somebody (its machine's daemon, or `Agents.heartbeat`) where
        `wait_s` is longer than its lease. `stop` ends the wait within a second; Ctrl-C too.

        Raises:
            Deadlock: who holds one of them waits, through whomever, for this agent.
            LockHeld, AgentGone, UsageError: as `acquire`, at the end of the time.
        """
        if wait_s <= 0:
            return self._acquire(agent, resources, scope, ttl_ms, None)
        return wait_for_turn(
            self._store,
            lambda place: self._acquire(agent, resources, scope, ttl_ms, place),
            wait_s,
            stop,
        )

    def acquire_in_turn(
        self,
        agent: Agent,
        resources: Sequence[str],
        place: QueuePlace,
        *,
        scope: str = "own",
        ttl_ms: int = LOCK_TTL_MS,
    ) -> Mapping[str, str]:
        """One try of a waiter, which keeps its `place` in the queue when it is refused; otherwise
        as `acquire_when_free`.
        """
        return self._acquire(agent, resources, scope, ttl_ms, place)

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
        """Free a lock.

        Raises:
            NotFound: it is not locked.
            StaleToken: it has passed on to another holder, or was taken anew.
        """
        self._release(resource, token, "")

    def break_lock(self, resource: str, by: str) -> str:
        """A person frees another's lock; the log says who. Returns the holder that lost it.

        Raises:
            NotFound: it is not locked.
        """
        return self._release(resource, "", by or "?")

    def end_turn(self, agent: Agent) -> Sequence[str]:
        """Free what the agent took for its turn and for no task; returns the resources, none for an
        agent that was buried.
        """
        reply = self._store.run("lock/end_turn", agent=agent.id, incarnation=agent.incarnation)
        return reply[1:]

    def freed(self, agent: Agent, *, told: Sequence[str] = ()) -> tuple[int, Sequence[str]]:
        """Of what the agent's tool calls were denied in the last hour and it did not get since: how
        many, and which it could have now.

        `told` are those that it has heard of: they are forgotten.
        """
        reply = self._store.run("lock/freed", agent=agent.id, told=told)
        return reply[1], reply[2:]

    def get(self, resource: str) -> Lock:
        """One lock, also one that was set by hand.

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
        """Every lock in force, by resource, and who waits for it."""
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
            raise StaleToken(f"{resource} has passed on: {reply[1]} holds it now")
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
