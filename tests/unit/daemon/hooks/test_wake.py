"""Which events begin and end a turn."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.daemon.fakes import event

from octet.daemon.hooks.wake import begins_turn, ends_turn
from octet.guard.reply import Reply, render_context

EVENTS: list[tuple[str, dict[str, Any], bool, bool]] = [
    ("SessionStart", {"source": "startup"}, True, True),
    ("SessionStart", {"source": "compact"}, False, False),
    ("UserPromptSubmit", {"prompt": "go on"}, True, False),
    ("PostToolBatch", {}, False, False),
    ("Stop", {}, False, True),
    ("SubagentStop", {"agent_id": "x"}, False, False),
    ("StopFailure", {}, False, True),
    ("Notification", {"notification_type": "idle_prompt"}, False, True),
    ("Notification", {"notification_type": "permission_prompt"}, False, False),
    ("SessionEnd", {"reason": "clear"}, True, False),
    ("SessionEnd", {"reason": "logout"}, False, False),
]


@pytest.mark.parametrize(("name", "fields", "begins", "ends"), EVENTS)
def test_an_event_begins_or_ends_a_turn(
    name: str, fields: dict[str, Any], begins: bool, ends: bool
) -> None:
    """A session's start does both: its hook tells things, and it is idle after that."""
    found = event(name, **fields)
    assert (begins_turn(found), ends_turn(found, Reply())) == (begins, ends)


def test_feedback_lets_the_turn_go_on() -> None:
    """A notice for the person does not, and neither ends one that the hook blocked."""
    stop = event("Stop")
    assert not ends_turn(stop, render_context("Stop", "your next task is 1"))
    assert ends_turn(stop, render_context(None, notice="parked"))
    assert not ends_turn(stop, Reply(2, b"", b"no"))
