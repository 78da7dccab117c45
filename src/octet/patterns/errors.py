"""Lists of errors that many workers report, a number of which may stop the work.

    errors = octet.errors("analysis")
    errors.add("config.ts: file not found", fail_fast=3)
    errors.check()        # raises Stopped after three errors

The list is a plain LIST, so that LPUSH by redis-cli reports one as well. The last 10,000 are kept.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from octet.base.errors import Stopped, UsageError
from octet.base.process import host_id
from octet.base.text import plain
from octet.patterns.values import check_key_name, decode, ttl_ms
from octet.store.scripts import Store

MAX_TEXT = 4000
MAX_ADDED = 1000
MAX_FAIL_FAST = 1_000_000


@dataclass(frozen=True)
class ReportedError:
    """One error."""

    text: str
    by: str = ""  # the reporter
    item: Any = None  # that it is about; None for none
    at_ms: int = 0  # server time; 0 if redis-cli reported it


@dataclass(frozen=True)
class ErrorCount:
    """The number of errors ever reported, and whether they stop the work."""

    count: int
    stopped: bool


class Errors:
    """One list of errors. An addition renews its time to live: `ttl_s` (`math.inf`: for ever), by
    default at least 24 h.
    """

    def __init__(self, store: Store, name: str, ttl_s: float | None = None) -> None:
        self.name = check_key_name("errors", name)
        self._store = store
        self._ttl_ms = ttl_ms(ttl_s)
        self._key, self._policy = store.keys.errors(name), store.keys.errors_policy(name)

    def add(
        self, *texts: str, item: str = "", by: str | None = None, fail_fast: int | None = None
    ) -> ErrorCount:
        """Report errors, all in one step; `fail_fast` is the number that stops the work (0: none).

        Raises:
            UsageError: a text is empty, or there are more than 1000.
        """
        if not 0 < len(texts) <= MAX_ADDED or not all(map(str.strip, texts)):
            raise UsageError(f"report 1 to {MAX_ADDED} errors at once, each with a text")
        return self._run(
            fail_fast,
            by or f"{host_id()}:{os.getpid()}",
            plain(item, 500),
            *(plain(text, MAX_TEXT) for text in texts),
        )

    def limit(self, fail_fast: int) -> ErrorCount:
        """Set the number of errors that stops the work, earlier ones included; 0: none."""
        return self._run(fail_fast, "", "")

    def count(self) -> ErrorCount:
        """The number of errors, those from redis-cli included, and whether they stop the work."""
        with self._store.errors():
            pipe = self._store.client.pipeline(transaction=False)
            pipe.llen(self._key)
            pipe.hmget(self._policy, "fail_fast", "dropped")
            length, policy = pipe.execute()
        limit, dropped = (int(text) if (text or "").isdecimal() else 0 for text in policy)
        count = int(length) + dropped
        return ErrorCount(count, 0 < limit <= count)

    def check(self, fail_fast: int = 0) -> int:
        """The number of errors, if the work may go on.

        Raises:
            Stopped: it may not, or there were `fail_fast` errors or more.
        """
        found = self.count()
        if found.stopped or 0 < fail_fast <= found.count:
            last = self.list(1)
            raise Stopped(
                f"errors {self.name} stop the work: {found.count}, the last: "
                f"{last[0].text if last else '(gone)'}"
            )
        return found.count

    def list(self, count: int = 100) -> list[ReportedError]:
        """The last `count` errors, oldest first."""
        with self._store.errors():
            texts = self._store.client.lrange(self._key, 0, count - 1) if count > 0 else []
        return [_report(text) for text in reversed(texts)]

    def clear(self) -> int:
        """Delete the errors and their limit; returns their number."""
        with self._store.errors():
            pipe = self._store.client.pipeline(transaction=False)
            pipe.llen(self._key)
            pipe.unlink(self._key, self._policy)
            return int(pipe.execute()[0])

    def _run(self, fail_fast: int | None, by: str, item: str, *texts: str) -> ErrorCount:
        if fail_fast is not None and not 0 <= fail_fast <= MAX_FAIL_FAST:
            raise UsageError(
                f"{fail_fast} errors cannot stop the work: give 1 to {MAX_FAIL_FAST}, or 0 for none"
            )
        reply = self._store.run(
            "errors/add",
            name=self.name,
            ttl_ms=self._ttl_ms,
            fail_fast="" if fail_fast is None else fail_fast,
            by=by,
            item=item,
            texts=texts,
        )
        return ErrorCount(int(reply[1]), bool(reply[2]))


def _report(text: str) -> ReportedError:
    found = decode(text)
    if not isinstance(found, Mapping) or not isinstance(found.get("text"), str):
        return ReportedError(text)
    item, at_ms = found.get("item"), found.get("at_ms")
    about = decode(item) if isinstance(item, str) and item else None
    return ReportedError(
        found["text"],
        str(found.get("by", "")),
        about,
        int(at_ms) if isinstance(at_ms, (int, float)) else 0,
    )
