"""Events: published to live watchers and kept in a bounded log, in one step."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from octet.errors import UsageError
from octet.store.connection import translate_errors
from octet.store.scripts import Store

MOST_BYTES = 64 * 1024


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
            UsageError: the type is not one plain word, or the fields are no JSON or too large.
        """
        if not event_type.replace("_", "").replace("-", "").isalnum():
            raise UsageError(f"event type {event_type!r}: use letters, digits, '_' and '-'")
        try:
            body = json.dumps(dict(fields or {}))
        except (TypeError, ValueError) as error:
            raise UsageError(f"event fields are not JSON: {error}") from error
        if len(body) > MOST_BYTES:
            raise UsageError(f"an event has at most {MOST_BYTES} bytes, not {len(body)}: store it in a file and send its name")
        self._store.run("event_publish", [self._keys.log], [self._keys.channel(""), event_type, body])

    def log(self, count: int = 50) -> list[Event]:
        """The last `count` events, oldest first."""
        with translate_errors(self._store.client):
            entries = self._store.client.xrevrange(self._keys.log, count=count)
        return [_from_entry(entry_id, data) for entry_id, data in reversed(entries)]

    def watch(self, pattern: str = "*", timeout_s: float | None = None) -> Iterator[Event]:
        """Live events of the types that match `pattern`; ends after `timeout_s` without one, or never.

        Subscribed from the first `next()` on; what was published before is in `log`.
        """
        with translate_errors(self._store.client):
            channel = self._store.client.pubsub(ignore_subscribe_messages=True)
            channel.psubscribe(self._keys.channel(pattern))
            try:
                while True:
                    message = channel.get_message(timeout=timeout_s if timeout_s is not None else 1.0)
                    if message is not None:
                        yield _from_message(message["data"])
                    elif timeout_s is not None:
                        return
            finally:
                channel.close()


def _from_entry(entry_id: str, data: Mapping[str, str]) -> Event:
    return _event(entry_id, data.get("type", ""), data.get("data", "{}"))


def _from_message(text: str) -> Event:
    return _event("", "", text)


def _event(entry_id: str, event_type: str, text: str) -> Event:
    try:
        fields = json.loads(text)
    except ValueError:
        fields = {"raw": text}
    if not isinstance(fields, dict):
        fields = {"raw": text}
    return Event(str(fields.pop("id", entry_id)), str(fields.pop("type", event_type)), fields)
