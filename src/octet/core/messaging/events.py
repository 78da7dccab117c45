"""Events: published to live watchers and kept in a bounded log, in one step."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError

from octet.base.errors import StoreSpoiled, StoreUnreachable, UsageError
from octet.base.threads import iterate_in_thread
from octet.core.messaging.event_log import READ_AT_ONCE, LogReader
from octet.store.scripts import Store, as_mapping, from_json, to_json
from octet.store.subscription import LOOK_EVERY_S as LOOK_AT_LOG_EVERY_S
from octet.store.subscription import Wakeups

TYPE_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_BYTES = 64 * 1024
OWN_FIELDS = frozenset({"id", "type", "at_ms"})
# A watcher without a time-out wakes this often, so that Ctrl-C is heard.
LOOK_EVERY_S = 1.0
ID_PATTERN = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?")
LAST_OF_MS = 2**64 - 1
RETRY_S = 0.5
# No use in asking again: somebody must change the server's settings first.
FORBIDDEN = (NoPermissionError, AuthenticationError, AuthorizationError)
TRIMMED = "log_trimmed"

# Where to begin: after the event of that id ("0": at the beginning of the log), at a moment, or so
# long ago.
Since = str | datetime | timedelta


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
            UsageError: the type is not one plain word, or the fields are no JSON, too large, or
                named as Octet's own.
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
        """The events of the log since then, oldest first, of the types that match `pattern`; the
        log keeps the last 10,000.

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
        """The same (or from now on), and then what comes: each event once, none left out; ends
        after `timeout_s` without one, or never.

        Whatever comes is read from the log; what was only ever published, by redis-cli, is seen by
        `watch` and `tail`. Where the log was trimmed before it could be read, an event
        `log_trimmed` without an id stands in that place, with the number of `events` or None.
        """
        return self._follow(since, pattern, timeout_s, None)

    def follow_async(
        self, since: Since | None = None, pattern: str = "*", timeout_s: float | None = None
    ) -> AsyncIterator[Event]:
        """Like `follow`."""
        return iterate_in_thread(lambda stop: self._follow(since, pattern, timeout_s, stop))

    def watch(self, pattern: str = "*", timeout_s: float | None = None) -> Iterator[Event]:
        """Live events of the types that match `pattern`; ends after `timeout_s` without one, or
        never.

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
        """Like `follow`, with what was only ever published among it, and on through whatever the
        server does.

        Where it is gone, `trouble` is told why, and "" when it is back; what was logged meanwhile
        follows. Never ends by itself.

        Raises:
            UsageError: `since` is no id.
            StoreUnreachable: it cannot be reached to begin with, or this user may not listen.
        """
        return self._follow(
            since, pattern, None, None, live=True, trouble=trouble or (lambda _: None)
        )

    def _follow(
        self,
        since: Since | None,
        pattern: str,
        timeout_s: float | None,
        stop: threading.Event | None,
        *,
        live: bool = False,
        trouble: Callable[[str], None] | None = None,
    ) -> Iterator[Event]:
        reader = LogReader(self._store, None if since is None else self._last_before(since))
        stop, away = stop or threading.Event(), False
        while not stop.is_set():
            try:
                with Wakeups(
                    self._store, patterns=[self._keys.channel(pattern)], stop=stop
                ) as wakeups:
                    if away and trouble:
                        trouble("")
                    away = False
                    yield from self._listen(reader, wakeups, pattern, timeout_s, live)
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
                stop.wait(RETRY_S)

    def _listen(
        self, reader: LogReader, wakeups: Wakeups, pattern: str, timeout_s: float | None, live: bool
    ) -> Iterator[Event]:
        deadline = _deadline(timeout_s)
        while not wakeups.stopped:
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
                for channel, text in wakeups.hear(min(left_s, LOOK_AT_LOG_EVERY_S)):
                    event = _event("", channel.removeprefix(self._keys.channel("")), text)
                    if live and not event.id:  # what has an id is in the log
                        yield event

    def _after(self, last: str) -> list[Event]:
        with self._store.errors():
            entries = self._store.client.xrange(self._keys.log, min=f"({last}", count=READ_AT_ONCE)
        return [_logged(entry_id, data) for entry_id, data in entries]

    def _last_before(self, since: Since) -> str:
        """The id after which `since` begins."""
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
    return Event(
        entry_id, event.type, event.fields
    )  # its place in the log, whatever somebody wrote into the entry


def _event(entry_id: str, event_type: str, text: str) -> Event:
    try:
        fields = from_json(text)
    except ValueError:
        fields = {"raw": text}
    if not isinstance(fields, dict):
        fields = {"raw": text}
    return Event(str(fields.pop("id", entry_id)), str(fields.pop("type", event_type)), fields)
