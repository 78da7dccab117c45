"""One event handed over by two hooks is answered once."""

from __future__ import annotations

import pytest

from octet.daemon.hooks import dedupe
from octet.daemon.hooks.dedupe import HookDedupe
from octet.daemon.protocol.wire import Request


def event(source: str, pid: int = 7, payload: bytes = b"{}", root: str = "/shop") -> Request:
    return Request("Stop", root, source, payload, pid)


def test_the_second_source_is_silent() -> None:
    """Plugin and drop-in send the same bytes: only the first counts, in either order."""
    seen = HookDedupe()
    assert not seen.is_duplicate(event("plugin"))
    assert seen.is_duplicate(event("dropin"))
    assert not seen.is_duplicate(event("dropin"))
    assert seen.is_duplicate(event("plugin"))


def test_one_source_alone_is_never_silent() -> None:
    """The same event twice from one source is two events: a prompt may be typed twice."""
    seen = HookDedupe()
    assert [seen.is_duplicate(event("plugin")) for _ in range(3)] == [False, False, False]


def test_other_processes_payloads_and_projects_are_other_events() -> None:
    """The key is the client's process, its project and every byte it sent."""
    seen = HookDedupe()
    seen.is_duplicate(event("plugin"))
    assert not seen.is_duplicate(event("dropin", pid=8))
    assert not seen.is_duplicate(event("dropin", payload=b"{ }"))
    assert not seen.is_duplicate(event("dropin", root="/shop/vendored"))
    assert seen.is_duplicate(event("dropin"))


def test_forgets_after_half_a_minute_and_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A late second one is an event of its own, and memory stays bounded."""
    now = [0.0]
    monkeypatch.setattr("octet.daemon.hooks.dedupe.time.monotonic", lambda: now[0])
    seen = HookDedupe()
    seen.is_duplicate(event("plugin"))
    now[0] = dedupe.KEPT_S + 1
    assert not seen.is_duplicate(event("dropin"))
    for number in range(dedupe.MAX_KEPT * 2):
        seen.is_duplicate(event("plugin", pid=number, payload=b"x"))
    assert len(seen._seen) == dedupe.MAX_KEPT
