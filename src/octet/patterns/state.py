"""Shared state: named fields that many processes read and write, each with a version, so that no
process overwrites a value that it has not seen.

    state = octet.state("analysis:results")
    state.set("src/app.ts", {"lines": 100})
    field = state.read("status")
    state.compare_and_set("status", "completed", field.version)

The fields are a plain HASH. A value that was HSET by hand gets a version at the next read.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from octet.base.errors import NothingThere, UsageError, VersionConflict
from octet.patterns.values import check_field, check_key_name, decode, encode, ttl_ms
from octet.store.scripts import Reply, Store, Value
from octet.store.subscription import LOOK_EVERY_S, Subscription, wait_until

ABSENT = "0"
MAX_FIELDS = 1000


@dataclass(frozen=True)
class Field:
    """A field at one instant. Versions only grow; "0", with the value None, is a missing field."""

    field: str
    value: Any
    version: str


class State:
    """One shared state. Every use renews its time to live: to `ttl_s` (`math.inf`: for ever), or by
    default to at least 24 h.
    """

    def __init__(self, store: Store, name: str, ttl_s: float | None = None) -> None:
        self.name = check_key_name("state", name)
        self._store = store
        self._ttl_ms = ttl_ms(ttl_s)
        self._key = store.keys.shared_state(name)

    def get(self, field: str, default: Any = None) -> Any:
        """The value of a field; `default` for a missing one."""
        found = self._read(check_field(field)).get(field)
        return found.value if found else default

    def read(self, field: str) -> Field:
        """A field with its version.

        Raises:
            NothingThere: it is missing.
        """
        if found := self._read(check_field(field)).get(field):
            return found
        raise NothingThere(f"state {self.name} has no field {field}")

    def all(self) -> dict[str, Any]:
        """Every field's value."""
        return {field.field: field.value for field in self.read_all()}

    def read_all(self) -> list[Field]:
        """Every field with its version, by name."""
        return sorted(self._read().values(), key=lambda field: field.field)

    def set(self, field: str, value: Any) -> str:
        """Set a field unconditionally; returns its version."""
        return self.set_many({field: value})[field]

    def set_many(self, fields: Mapping[str, Any]) -> dict[str, str]:
        """Set fields, all in one step; returns their versions.

        Raises:
            UsageError: a value is no JSON or larger than 64 KiB, or there are more than 1000
                fields.
        """
        if not 0 < len(fields) <= MAX_FIELDS:
            raise UsageError(f"set 1 to {MAX_FIELDS} fields at once, not {len(fields)}")
        pairs = [
            text for field, value in fields.items() for text in (check_field(field), encode(value))
        ]
        return dict(zip(fields, self._run("state/set", version="", fields=pairs)[1:], strict=True))

    def compare_and_set(self, field: str, value: Any, version: str) -> str:
        """Set a field if its version is still `version` ("0": missing); returns its new version.

        Raises:
            VersionConflict: it has another version; nothing was changed.
        """
        return str(self._checked("state/set", field, version, encode(value))[1])

    def update(self, field: str, change: Callable[[Any], Any]) -> Field:
        """Set a field to `change(value)` (None for a missing one), which is called again when
        another process was faster.
        """
        while True:
            before = self._read(check_field(field)).get(field, Field(field, None, ABSENT))
            value = change(before.value)
            try:
                return Field(field, value, self.compare_and_set(field, value, before.version))
            except VersionConflict:
                continue

    def incr(self, field: str, by: int = 1) -> int:
        """Add to a field that holds a whole number, or is missing; returns the sum.

        Raises:
            UsageError: it holds something else, or the sum needs more than 64 bits.
        """
        reply = self._run("state/incr", field=check_field(field), by=_whole(by))
        if reply[0] == Reply.NUMBER:
            raise UsageError(
                f"field {field} of state {self.name} holds {str(reply[1])[:40]!r}, to which "
                f"{by} cannot be added"
            )
        return int(reply[1])

    def delete(self, *fields: str, version: str | None = None) -> int:
        """Delete fields, or with `version` one field if it still has that version; returns the
        number of those that existed.

        Raises:
            VersionConflict: it has another version; nothing was changed.
        """
        if not fields or (version is not None and len(fields) > 1):
            raise UsageError("name the fields to delete, one where a version is given")
        if version is not None:
            return int(self._checked("state/delete", fields[0], version)[1])
        return int(self._run("state/delete", version="", fields=[*map(check_field, fields)])[1])

    def clear(self) -> int:
        """Delete every field; returns their number."""
        return int(self._run("state/delete", version="", fields=[])[1])

    def watch(self, field: str | None = None, timeout_s: float | None = None) -> Iterator[Field]:
        """Every field (or one) that changes, from the first `next()` on, until `timeout_s` passes
        without a change. Of changes in quick succession only the last is seen.
        """
        chosen = () if field is None else (check_field(field),)
        # Read before listening, so that every change from here on is seen.
        before, deadline = self._read(*chosen), _deadline(timeout_s)
        with Subscription(self._store, self._key) as subscription:
            while True:
                now = self._read(*chosen)
                if changed := _changes(before, now):
                    yield from changed
                    deadline = _deadline(timeout_s)
                before, left_s = now, deadline - time.monotonic()
                if left_s <= 0:
                    return
                subscription.wait(min(left_s, LOOK_EVERY_S))

    def wait(
        self, field: str, accept: Callable[[Any], bool] = lambda _: True, *, wait_s: float
    ) -> Field:
        """Wait until a field exists and `accept(value)` is true; returns the field.

        Raises:
            NothingThere: the time is over.
        """
        last: Field | None = None

        def attempt(_: Sequence[str]) -> Field | None:
            nonlocal last
            last = self._read(check_field(field)).get(field)
            return last if last and accept(last.value) else None

        if found := wait_until(Subscription(self._store, self._key), attempt, wait_s):
            return found
        now = f"it is {encode(last.value)[:80]}" if last else "it is missing"
        raise NothingThere(
            f"field {field} of state {self.name} is not as awaited after {wait_s:g} s: {now}"
        )

    def _read(self, *fields: str) -> dict[str, Field]:
        rows = self._run("state/get", fields=fields)[1:]
        found = [Field(rows[i], decode(rows[i + 1]), rows[i + 2]) for i in range(0, len(rows), 3)]
        return {field.field: field for field in found}

    def _checked(self, script: str, field: str, version: str, *value: str) -> list[Any]:
        if not version.isdecimal():
            raise UsageError(
                f"a version is a number, not {version[:40]!r}: `octet state get` shows it"
            )
        reply = self._run(script, version=version, fields=[check_field(field), *value])
        if reply[0] == Reply.STALE:
            now = (
                "it is missing"
                if reply[1] == ABSENT
                else f"it is version {reply[1]} now: {str(reply[2])[:80]}"
            )
            raise VersionConflict(
                f"field {field} of state {self.name} is not version {version} ({now}): read "
                "it again",
                str(reply[1]),
            )
        return reply

    def _run(self, script: str, **values: Value) -> list[Any]:
        return self._store.run(script, name=self.name, ttl_ms=self._ttl_ms, **values)


def _changes(before: Mapping[str, Field], now: Mapping[str, Field]) -> list[Field]:
    changed = [
        field
        for name, field in now.items()
        if name not in before or before[name].version != field.version
    ]
    gone = [Field(name, None, ABSENT) for name in before if name not in now]
    return [*gone, *sorted(changed, key=lambda field: int(field.version))]


def _deadline(timeout_s: float | None) -> float:
    return math.inf if timeout_s is None else time.monotonic() + timeout_s


def _whole(number: int) -> int:
    if not -(2**63) <= number < 2**63:
        raise UsageError(f"{number} needs more than 64 bits")
    return number
