"""Messages left under a key: put by one, got or taken by another, gone after a while.

octet.kv.put("agent:search:results", {"files": ["a.ts"]}, ttl_s=3600)
octet.kv.wait("agent:search:results", wait_s=60, take=True)

Each is a plain STRING with a TTL, so that SETEX, GET and DEL by redis-cli do the same; whoever
waits sees that within 3 s.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from octet.base.errors import NothingThere, UsageError
from octet.base.threads import in_thread
from octet.patterns.values import DEFAULT_TTL_S, check_name, decode, encode, ttl_ms
from octet.store.scan import scan_keys
from octet.store.scripts import Reply, Store
from octet.store.subscription import Wakeups, wait_until

MAX_DELETED = 1000


@dataclass(frozen=True)
class StoredValue:
    """A value under its key; `ttl_ms` is how long it lives still (-1: for ever)."""

    key: str
    value: Any
    ttl_ms: int


class KeyValues:
    """The messages of one project or run."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, key: str, value: Any, *, ttl_s: float | None = None, new: bool = False) -> bool:
        """Leave a value, for 24 h or `ttl_s` (`math.inf`: for ever); with `new` only where there is
        none. Returns whether it was left.

        Raises:
            UsageError: the value is no JSON or larger than 64 KiB.
        """
        ttl = ttl_ms(DEFAULT_TTL_S if ttl_s is None else ttl_s)
        reply = self._store.run(
            "kv/put",
            key=check_name("key", key),
            ttl_ms=ttl,
            value=encode(value),
            new="new" if new else "",
        )
        return bool(reply[0] == Reply.OK)

    def get(self, key: str, default: Any = None) -> Any:
        """The value, which stays; `default` where there is none."""
        return self._fetch("GET", key, default)

    def take(self, key: str, default: Any = None) -> Any:
        """The value, which is deleted in the same step: of many that take it, one gets it;
        `default` where there is none.
        """
        return self._fetch("GETDEL", key, default)

    def delete(self, *keys: str) -> int:
        """Delete values; returns how many there were."""
        if not 0 < len(keys) <= MAX_DELETED:
            raise UsageError(f"delete 1 to {MAX_DELETED} keys at once, not {len(keys)}")
        with self._store.errors():
            return int(self._store.client.unlink(*map(self._key, keys)))

    def list(self, prefix: str = "") -> list[StoredValue]:
        """Every value whose key begins with `prefix`, by key; walks the whole keyspace, bit by bit."""
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
            NothingThere: the time is over before.
        """
        return self._wait(key, wait_s, take, None)[0]

    async def wait_async(self, key: str, *, wait_s: float, take: bool = False) -> Any:
        """Like `wait`; a value that was taken when the waiting task was cancelled is put back, if
        no other has come, for 24 h.
        """

        def undo(found: tuple[Any]) -> None:
            if take:
                self.put(key, found[0], new=True)

        return (await in_thread(lambda stop: self._wait(key, wait_s, take, stop), undo=undo))[0]

    def _wait(
        self, key: str, wait_s: float, take: bool, stop: threading.Event | None
    ) -> tuple[Any]:
        missing = object()

        def attempt(_: Sequence[str]) -> tuple[Any] | None:
            value = self._fetch("GETDEL" if take else "GET", key, missing)
            return None if value is missing else (value,)

        found = wait_until(Wakeups(self._store, self._key(key), stop=stop), attempt, wait_s)
        if found is None:
            raise NothingThere(f"nothing was put under {key} within {wait_s:g} s")
        return found

    def _fetch(self, command: str, key: str, default: Any) -> Any:
        with self._store.errors():
            text = self._store.client.execute_command(command, self._key(key))
        return default if text is None else decode(text)

    def _key(self, key: str) -> str:
        return self._store.keys.kv(check_name("key", key))
