"""A line for the person is not repeated at every prompt."""

from __future__ import annotations

import pytest

from octet.daemon.hooks.notices import MAX_KEPT, REPEAT_AFTER_S, Notices


def test_the_same_line_once_a_minute_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another line, or another session, is told at once; nothing is nothing."""
    now = [100.0]
    monkeypatch.setattr("octet.daemon.hooks.notices.time.monotonic", lambda: now[0])
    notices = Notices()
    assert [notices.once(7, "down") for _ in range(2)] == ["down", ""]
    assert notices.once(7, "up") == "up"
    assert notices.once(8, "down") == "down"
    assert notices.once(7, "") == ""
    now[0] += REPEAT_AFTER_S
    assert notices.once(7, "down") == "down"


def test_memory_is_bounded() -> None:
    notices = Notices()
    for number in range(3 * MAX_KEPT):
        notices.once(number, "down")
    assert len(notices._told_at) <= MAX_KEPT + 1
