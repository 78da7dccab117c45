"""Events: published to live watchers and kept in a bounded log, in one step."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from octet.errors import UsageError
from octet.store.scripts import Store, from_json, to_json

TYPE_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
MOST_BYTES = 64 * 1024
OWN_FIELDS = frozenset({"id", "type", "at_ms"})
# A watcher without a time-out wakes this often, so that Ctrl-C is heard.
LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class Event:
    """One event: its log id (grows), its type, and its fields (`at_ms` is server time)."""

    id: str
    type: str
    fields: Mapping[str, Any]


class Events:
    """The events of one project."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    def publish(self, event_type: str, fields: Mapping[str, Any] | None = None) -> None:
        """Publish one event.

        Raises:
            UsageError: the type is not one plain word, or the fields are no JSON, too large, or named as Octet's own.
        """
        if not TYPE_PATTERN.fullmatch(event_type):
            raise UsageError(f"event type {event_type[:80]!r}: use letters, digits, '_' and '-' (64 at most)")
        if own := OWN_FIELDS & set(fields or {}):
            raise UsageError(f"the event field {min(own)} is set by Octet: choose another name")
        try:
            body = to_json(dict(fields or {}))
        except (TypeError, ValueError) as error:
            raise UsageError(f"event fields are not JSON: {error}") from error
        if len(body) > MOST_BYTES:
            raise UsageError(f"an event has at most {MOST_BYTES} bytes, not {len(body)}: store it in a file and send its name")
        self._store.run("event_publish", [self._keys.log], [self._keys.channel(""), event_type, body])

    def log(self, count: int = 50) -> list[Event]:
        """The last `count` events, oldest first."""
        with self._store.errors():
            entries = self._store.client.xrevrange(self._keys.log, count=count)
        return [_event(entry_id, data.get("type", ""), data.get("data", "{}")) for entry_id, data in reversed(entries)]

    def watch(self, pattern: str = "*", timeout_s: float | None = None) -> Iterator[Event]:
        """Live events of the types that match `pattern`; ends after `timeout_s` without one, or never.

        Subscribed from the first `next()` on; what was published before is in `log`.
        """
        with self._store.errors():
            channel = self._store.client.pubsub()
            channel.psubscribe(self._keys.channel(pattern))
            try:
                deadline = _deadline(timeout_s)
                while (left_s := deadline - time.monotonic()) > 0:
                    message = channel.get_message(timeout=min(left_s, LOOK_EVERY_S))
                    if message is not None and message["type"] == "pmessage":
                        yield _event("", message["channel"].removeprefix(self._keys.channel("")), message["data"])
                    if message is not None:
                        deadline = _deadline(timeout_s)
            finally:
                channel.close()


def _deadline(timeout_s: float | None) -> float:
    return math.inf if timeout_s is None else time.monotonic() + timeout_s


def _event(entry_id: str, event_type: str, text: str) -> Event:
    try:
        fields = from_json(text)
    except ValueError:
        fields = {"raw": text}
    if not isinstance(fields, dict):
        fields = {"raw": text}
    return Event(str(fields.pop("id", entry_id)), str(fields.pop("type", event_type)), fields)
