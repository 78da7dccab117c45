"""Locks: leases on named resources, all or nothing, re-entrant for the holder, released with their token only.

A lock lives as long as its agent (whose heartbeat renews it) and ends with its task, its turn, its release, or its TTL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from octet.agents import LOCK_TTL_MS, Agent
from octet.errors import AgentGone, LockHeld, NotFound, StaleToken, UsageError
from octet.store.scripts import Reply, Store, from_json

SCOPES = ("turn", "own")
RESOURCE_PATTERN = re.compile(r"(repository|worktree|path|task|name):[^\x00-\x1f\x7f]{1,4096}", re.DOTALL)


@dataclass(frozen=True)
class Lock:
    """One lock in force. `scope` is turn, task or own; `since_ms` is server time, `ttl_ms` what is left (-1: for ever)."""

    resource: str
    holder: str
    token: str = ""
    scope: str = "own"
    task: str = ""
    since_ms: int = 0
    ttl_ms: int = -1

    @classmethod
    def from_value(cls, resource: str, value: str, ttl_ms: int) -> Lock:
        """A lock from its Redis value; one set by hand holds nothing but the holder's name."""
        try:
            record = from_json(value)
        except ValueError:
            record = None
        if not isinstance(record, dict) or not isinstance(record.get("holder"), str):
            return cls(resource, value, ttl_ms=ttl_ms)
        texts = {name: record[name] for name in ("holder", "token", "scope", "task") if isinstance(record.get(name), str)}
        since = record.get("since_ms")
        return cls(resource, **texts, since_ms=int(since) if isinstance(since, float | int) and isfinite(since) else 0, ttl_ms=ttl_ms)


class Locks:
    """The locks of one project."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    def acquire(self, agent: Agent, resources: Sequence[str], *, scope: str = "own", ttl_ms: int = LOCK_TTL_MS) -> Mapping[str, str]:
        """Take all of `resources` or none; returns resource → fencing token.

        Args:
            scope: "turn" (freed at the turn's end, or with its task while the agent has one) or "own" (until released).
            ttl_ms: how long the lock outlives its last renewal.

        Raises:
            LockHeld: another agent holds one of them; nothing was taken.
            AgentGone: the agent was declared dead in the meantime.
            UsageError: a resource is not of a known kind, or the scope or TTL makes no sense.
        """
        for resource in resources:
            check_resource(resource)
        if scope not in SCOPES or ttl_ms < 1:
            raise UsageError(f"a lock's scope is turn or own and its TTL 1 ms or more, not {scope!r} and {ttl_ms}")
        keys = self._keys
        reply = self._store.run(
            "lock_acquire",
            [
                keys.incarnations,
                keys.claims(agent.id),
                keys.agent_locks(""),
                keys.lock(""),
                keys.locks_index,
                keys.token,
                keys.log,
            ],
            [keys.channel(""), agent.id, agent.incarnation, agent.parent, int(ttl_ms), scope, *resources],
        )
        if reply[0] == Reply.GONE:
            raise AgentGone(f"{agent.id} was declared dead and its work given back")
        if reply[0] == Reply.HELD:
            lock = Lock.from_value(reply[1], reply[2], reply[3])
            raise LockHeld(lock.resource, lock.holder, scope=lock.scope, task=lock.task, since_ms=lock.since_ms, ttl_ms=lock.ttl_ms)
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
        """Free what the agent took for its turn and for no task; returns the resources, none for an agent that was buried."""
        keys = self._keys
        reply = self._store.run(
            "lock_end_turn",
            [keys.agent_locks(agent.id), keys.lock(""), keys.locks_index, keys.log, keys.incarnations],
            [keys.channel(""), agent.id, agent.incarnation],
        )
        return reply[1:]

    def get(self, resource: str) -> Lock:
        """One lock, also one that was set by hand.

        Raises:
            NotFound: it is not locked.
        """
        check_resource(resource)
        key = self._keys.lock(resource)
        with self._store.errors():
            pipe = self._store.client.pipeline(transaction=False)
            value, ttl_ms = pipe.get(key).pttl(key).execute()
        if value is None:
            raise NotFound(f"{resource} is not locked")
        return Lock.from_value(resource, value, ttl_ms)

    def list(self) -> Sequence[Lock]:
        """Every lock in force, by resource."""
        reply = self._store.run("lock_list", [self._keys.locks_index, self._keys.lock("")], [])
        rows = reply[1:]
        found = [Lock.from_value(rows[i], rows[i + 1], rows[i + 2]) for i in range(0, len(rows), 3)]
        return sorted(found, key=lambda lock: lock.resource)

    def _release(self, resource: str, token: str, by: str) -> str:
        check_resource(resource)
        keys = self._keys
        reply = self._store.run(
            "lock_release",
            [keys.lock(resource), keys.agent_locks(""), keys.locks_index, keys.log],
            [keys.channel(""), resource, token, by],
        )
        if reply[0] == Reply.MISSING:
            raise NotFound(f"{resource} is not locked")
        if reply[0] == Reply.STALE:
            raise StaleToken(f"{resource} has passed on: {reply[1]} holds it now")
        return str(reply[1])


def check_resource(resource: str) -> None:
    """Refuse a resource that is of no known kind.

    Raises:
        UsageError: with the kinds there are.
    """
    if not RESOURCE_PATTERN.fullmatch(resource):
        raise UsageError(f"resource {resource[:80]!r}: write repository:BRANCH, worktree:ID, path:FILE, task:ID or name:ANYTHING")
