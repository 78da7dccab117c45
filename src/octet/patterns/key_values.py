"""Values under keys: put by one process, got or taken by another, deleted after a time.

    octet.kv.put("agent:search:results", {"files": ["a.ts"]}, ttl_s=3600)
    octet.kv.wait("agent:search:results", wait_s=60, take=True)

Each is a plain STRING with a TTL, so SETEX, GET and DEL by redis-cli do the same; a waiter sees
that within 3 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from octet.base.errors import NothingThere, UsageError
from octet.patterns.values import DEFAULT_TTL_S, check_key_name, decode, encode, ttl_ms
from octet.store.scan import scan_keys
from octet.store.scripts import Reply, Store
from octet.store.subscription import Subscription, wait_until

MAX_DELETED = 1000


@dataclass(frozen=True)
class StoredValue:
    """A value with its key; `ttl_ms` is what is left of its time to live (-1: for ever)."""

    key: str
    value: Any
    ttl_ms: int


class KeyValues:
    """The values of one project or run."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, key: str, value: Any, *, ttl_s: float | None = None, new: bool = False) -> bool:
        """Store a value for `ttl_s` (`math.inf`: for ever), by default 24 h. With `new`, an
        existing value stays, and False is returned.

        Raises:
            UsageError: the value is no JSON or larger than 64 KiB.
        """
        ttl = ttl_ms(DEFAULT_TTL_S if ttl_s is None else ttl_s)
        reply = self._store.run(
            "kv/put",
            key=check_key_name("key", key),
            ttl_ms=ttl,
            value=encode(value),
            new="new" if new else "",
        )
        return bool(reply[0] == Reply.OK)

    def get(self, key: str, default: Any = None) -> Any:
        """The value, which stays; `default` if there is none."""
        return self._fetch("GET", key, default)

    def take(self, key: str, default: Any = None) -> Any:
        """The value, deleted in the same step, so only one process gets it; else `default`."""
        return self._fetch("GETDEL", key, default)

    def delete(self, *keys: str) -> int:
        """Delete values; returns the number of those that existed."""
        if not 0 < len(keys) <= MAX_DELETED:
            raise UsageError(f"delete 1 to {MAX_DELETED} keys at once, not {len(keys)}")
        with self._store.errors():
            return int(self._store.client.unlink(*map(self._key, keys)))

    def list(self, prefix: str = "") -> list[StoredValue]:
        """Every value whose key begins with `prefix`, by key; scans the whole keyspace in steps."""
        start = self._store.keys.kv("")
        keys = sorted(scan_keys(self._store, start + prefix))
        with self._store.errors():
            pipe = self._store.client.pipeline(transaction=False)
            for key in keys:
                pipe.get(key).pttl(key)
            found = pipe.execute(raise_on_error=False)
        rows = zip(keys, found[::2], found[1::2], strict=True)
        return [
            StoredValue(key.removeprefix(start), decode(value), int(left))
            for key, value, left in rows
            if isinstance(value, str)
        ]

    def wait(self, key: str, *, wait_s: float, take: bool = False) -> Any:
        """Wait until there is a value; returns it, and with `take` deletes it in the same step.

        Raises:
            NothingThere: the time is over.
        """
        missing = object()

        def attempt(_: Sequence[str]) -> tuple[Any] | None:
            value = self._fetch("GETDEL" if take else "GET", key, missing)
            return None if value is missing else (value,)

        found = wait_until(Subscription(self._store, self._key(key)), attempt, wait_s)
        if found is None:
            raise NothingThere(f"nothing was put under {key} within {wait_s:g} s")
        return found[0]

    def _fetch(self, command: str, key: str, default: Any) -> Any:
        with self._store.errors():
            text = self._store.client.execute_command(command, self._key(key))
        return default if text is None else decode(text)

    def _key(self, key: str) -> str:
        return self._store.keys.kv(check_key_name("key", key))
