"""Events: published to live watchers and appended to a bounded log, in one step."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError

from octet.base.errors import StoreSpoiled, StoreUnreachable, UsageError
from octet.core.messaging.event_log import READ_AT_ONCE, LogReader
from octet.store.scripts import Store, as_mapping, from_json, to_json
from octet.store.subscription import LOOK_EVERY_S as LOOK_AT_LOG_EVERY_S
from octet.store.subscription import Subscription

TYPE_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_BYTES = 64 * 1024
OWN_FIELDS = frozenset({"id", "type", "at_ms"})
# A watcher without a time-out wakes this often, so that Ctrl-C is heard.
LOOK_EVERY_S = 1.0
ID_PATTERN = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?")
LAST_OF_MS = 2**64 - 1
RETRY_S = 0.5
# Asking again is useless until the server's settings are changed.
FORBIDDEN = (NoPermissionError, AuthenticationError, AuthorizationError)
TRIMMED = "log_trimmed"

# Where to begin: after the event of an id ("0": at the beginning of the log), at a moment, or a
# time ago.
Since = str | datetime | timedelta


@dataclass(frozen=True)
class Event:
    """One event: its id in the log, which grows, its type and fields (`at_ms`: server time)."""

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
            UsageError: the type is not one plain word, or the fields are no JSON, too large, or
                have the name of one of Octet's.
        """
        if not TYPE_PATTERN.fullmatch(event_type):
            raise UsageError(
                f"event type {event_type[:80]!r}: use letters, digits, '_' and '-' (64 at most)"
            )
        if own := OWN_FIELDS & set(fields or {}):
            raise UsageError(f"the event field {min(own)} is set by Octet: choose another name")
        try:
            body = to_json(dict(fields or {}))
        except (TypeError, ValueError) as error:
            raise UsageError(f"event fields are not JSON: {error}") from error
        if len(body) > MAX_BYTES:
            raise UsageError(
                f"an event has at most {MAX_BYTES} bytes, not {len(body)}: store it in a "
                "file and send its name"
            )
        self._store.run("event/publish", type=event_type, fields=body)

    def log(self, count: int = 50) -> list[Event]:
        """The last `count` events, oldest first."""
        with self._store.errors():
            entries = self._store.client.xrevrange(self._keys.log, count=count)
        return [_logged(entry_id, data) for entry_id, data in reversed(entries)]

    def replay(self, since: Since, pattern: str = "*") -> Iterator[Event]:
        """The events of the log since then whose type matches `pattern`, oldest first. The log
        keeps the last 10,000.

        Raises:
            UsageError: `since` is no id.
        """
        last = self._last_before(since)
        while entries := self._after(last):
            last = entries[-1].id
            yield from (event for event in entries if fnmatchcase(event.type, pattern))

    def follow(
        self, since: Since | None = None, pattern: str = "*", timeout_s: float | None = None
    ) -> Iterator[Event]:
        """The events since then (None: from now on), then each new one, all of them once; until
        `timeout_s` passes without an event.

        Events are read from the log; `watch` and `tail` also see those that redis-cli only
        published. Where the log was trimmed before it could be read, an event `log_trimmed` without
        an id takes the place of the lost ones, with their number in `events` (None: not known).
        """
        return self._follow(since, pattern, timeout_s)

    def watch(self, pattern: str = "*", timeout_s: float | None = None) -> Iterator[Event]:
        """Live events whose type matches `pattern`, from the first `next()` on, until `timeout_s`
        passes without one. Earlier events are in `log`.
        """
        with self._store.errors():
            channel = self._store.client.pubsub()
            channel.psubscribe(self._keys.channel(pattern))
            try:
                deadline = _deadline(timeout_s)
                while (left_s := deadline - time.monotonic()) > 0:
                    message = channel.get_message(timeout=min(left_s, LOOK_EVERY_S))
                    if message is not None and message["type"] == "pmessage":
                        yield _event(
                            "",
                            message["channel"].removeprefix(self._keys.channel("")),
                            message["data"],
                        )
                    if message is not None:
                        deadline = _deadline(timeout_s)
            finally:
                channel.close()

    def tail(
        self,
        since: Since | None = None,
        pattern: str = "*",
        trouble: Callable[[str], None] | None = None,
    ) -> Iterator[Event]:
        """Like `follow`, with the events that were only published, and without an end: a failure of
        the server is survived.

        `trouble` is called with the reason of a failure, and with "" when the server is back; the
        events logged meanwhile follow.

        Raises:
            UsageError: `since` is no id.
            StoreUnreachable: the server cannot be reached at first, or this user may not listen.
        """
        return self._follow(since, pattern, None, live=True, trouble=trouble or (lambda _: None))

    def _follow(
        self,
        since: Since | None,
        pattern: str,
        timeout_s: float | None,
        *,
        live: bool = False,
        trouble: Callable[[str], None] | None = None,
    ) -> Iterator[Event]:
        reader = LogReader(self._store, None if since is None else self._last_before(since))
        away = False
        while True:
            try:
                with Subscription(
                    self._store, patterns=[self._keys.channel(pattern)]
                ) as subscription:
                    if away and trouble:
                        trouble("")
                    away = False
                    yield from self._listen(reader, subscription, pattern, timeout_s, live)
                return
            except StoreUnreachable as error:
                if (
                    trouble is None
                    or isinstance(error, StoreSpoiled)
                    or isinstance(error.__cause__, FORBIDDEN)
                ):
                    raise
                if not away:
                    trouble(str(error))
                away = True
                time.sleep(RETRY_S)

    def _listen(
        self,
        reader: LogReader,
        subscription: Subscription,
        pattern: str,
        timeout_s: float | None,
        live: bool,
    ) -> Iterator[Event]:
        deadline = _deadline(timeout_s)
        while True:
            entries, trimmed = reader.read()
            if trimmed != 0:
                yield Event("", TRIMMED, {"events": trimmed})
            for event in (_logged(entry_id, as_mapping(fields)) for entry_id, fields in entries):
                if fnmatchcase(event.type, pattern):
                    yield event
                    deadline = _deadline(timeout_s)
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return
            if not entries:
                for channel, text in subscription.receive(min(left_s, LOOK_AT_LOG_EVERY_S)):
                    event = _event("", channel.removeprefix(self._keys.channel("")), text)
                    if live and not event.id:  # an event with an id is in the log
                        yield event

    def _after(self, last: str) -> list[Event]:
        with self._store.errors():
            entries = self._store.client.xrange(self._keys.log, min=f"({last}", count=READ_AT_ONCE)
        return [_logged(entry_id, data) for entry_id, data in entries]

    def _last_before(self, since: Since) -> str:
        """The id behind which `since` begins."""
        if isinstance(since, str):
            match = ID_PATTERN.fullmatch(since)
            if not match or any(int(part) > LAST_OF_MS for part in match.groups("0")):
                raise UsageError(
                    f"{since[:40]!r} is no event's id: `octet event log` shows them, as in "
                    "1700000000000-0"
                )
            return f"{match[1]}-{match[2] or 0}"
        if isinstance(since, timedelta):
            with self._store.errors():
                seconds, micros = self._store.client.time()
            ms = int(seconds) * 1000 + int(micros) // 1000 - int(since.total_seconds() * 1000)
        else:
            ms = int(since.timestamp() * 1000)
        return f"{ms - 1}-{LAST_OF_MS}" if ms > 0 else "0-0"


def _deadline(timeout_s: float | None) -> float:
    return math.inf if timeout_s is None else time.monotonic() + timeout_s


def _logged(entry_id: str, data: Mapping[str, str]) -> Event:
    event = _event("", data.get("type", ""), data.get("data", "{}"))
    # Its id is its place in the log, even if the entry says another.
    return Event(entry_id, event.type, event.fields)


def _event(entry_id: str, event_type: str, text: str) -> Event:
    try:
        fields = from_json(text)
    except ValueError:
        fields = {"raw": text}
    if not isinstance(fields, dict):
        fields = {"raw": text}
    return Event(str(fields.pop("id", entry_id)), str(fields.pop("type", event_type)), fields)
