"""One event handed over by two hooks is answered once."""

from __future__ import annotations

import pytest

from octet.daemon.hooks import dedupe
from octet.daemon.hooks.dedupe import HookDedupe


def test_the_second_source_is_silent() -> None:
    """Plugin and drop-in hand over the same bytes: only the first counts, in either order."""
    seen = HookDedupe()
    assert not seen.is_duplicate("plugin", 7, b"{}")
    assert seen.is_duplicate("dropin", 7, b"{}")
    assert not seen.is_duplicate("dropin", 7, b"{}")
    assert seen.is_duplicate("plugin", 7, b"{}")


def test_one_source_alone_is_never_silent() -> None:
    """The same event twice from one source is two events: a prompt may be typed twice."""
    seen = HookDedupe()
    assert [seen.is_duplicate("plugin", 7, b"{}") for _ in range(3)] == [False, False, False]


def test_other_processes_and_payloads_are_other_events() -> None:
    """The key is the client's process and every byte it sent."""
    seen = HookDedupe()
    seen.is_duplicate("plugin", 7, b"{}")
    assert not seen.is_duplicate("dropin", 8, b"{}")
    assert not seen.is_duplicate("dropin", 7, b"{ }")


def test_forgets_after_half_a_minute_and_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A late twin is an event of its own, and memory does not grow with the number of events."""
    now = [0.0]
    monkeypatch.setattr(dedupe.time, "monotonic", lambda: now[0])
    seen = HookDedupe()
    seen.is_duplicate("plugin", 7, b"{}")
    now[0] = dedupe.KEPT_S + 1
    assert not seen.is_duplicate("dropin", 7, b"{}")
    for number in range(dedupe.MOST_KEPT * 2):
        seen.is_duplicate("plugin", number, b"x")
    assert len(seen._seen) == dedupe.MOST_KEPT
