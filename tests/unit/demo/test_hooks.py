"""How the answers of the hooks are read."""

from __future__ import annotations

import json

import pytest

from octet.demo.hooks import read_answer


def specific(**fields: str) -> str:
    return json.dumps({"hookSpecificOutput": {"hookEventName": "PreToolUse", **fields}})


@pytest.mark.parametrize(
    ("event", "status", "out", "denied"),
    [
        ("PreToolUse", 0, "", False),
        ("PreToolUse", 0, specific(permissionDecision="allow"), False),
        ("PreToolUse", 0, specific(permissionDecision="deny"), True),
        ("PreToolUse", 0, specific(permissionDecision="ask"), True),
        ("PreToolUse", 2, "", True),
        ("PreToolUse", 127, "", True),
        ("Stop", 1, "", False),
    ],
)
def test_what_denies(event: str, status: int, out: str, denied: bool) -> None:
    """As in the client: a denial, an unanswered question and a failing guard block a tool."""
    assert read_answer(event, status, out, "").denied is denied


def test_what_a_stop_hook_says_goes_on() -> None:
    """Context at Stop lets the turn go on; at another event it does not."""
    assert read_answer("Stop", 0, specific(additionalContext="next"), "").feedback == "next"
    assert (
        read_answer("Stop", 0, "", "").feedback
        == read_answer("SessionStart", 0, specific(additionalContext="x"), "").feedback
        == ""
    )
