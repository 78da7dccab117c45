"""A verdict in the words of the client."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octet.guard.policy import Verdict
from octet.guard.reply import TEXT_LIMIT, Reply, render_context, render_verdict


def read(reply: Reply) -> Any:
    assert (reply.exit_code, reply.stderr) == (0, b"")
    return json.loads(reply.stdout)


def test_a_verdict_that_says_nothing_is_empty() -> None:
    """The client goes its usual way, and no permission is given by the way."""
    assert render_verdict(Verdict()) == Reply(0, b"", b"")


def test_decisions_have_the_clients_fields() -> None:
    """Decision, reason, context, changed input and notice each where the client looks for it."""
    verdict = Verdict("allow", "why", "context", "notice", {"command": "x"})
    assert read(render_verdict(verdict)) == {
        "systemMessage": "notice",
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "allow",
            "permissionDecisionReason": "why",
            "additionalContext": "context",
            "updatedInput": {"command": "x"},
        },
    }


@pytest.mark.parametrize("decision", ["deny", "ask"])
def test_a_pass_never_carries_a_decision(decision: Any) -> None:
    """Only what was decided is said."""
    assert (
        read(render_verdict(Verdict(decision, "why")))["hookSpecificOutput"]["permissionDecision"]
        == decision
    )
    assert (
        "permissionDecision" not in read(render_verdict(Verdict(context="c")))["hookSpecificOutput"]
    )
    assert read(render_verdict(Verdict(notice="n"))) == {"systemMessage": "n"}


def test_context_and_notice_of_other_events() -> None:
    """Context names its event; a notice needs none."""
    expected = {
        "hookSpecificOutput": {"hookEventName": "SessionStart", "additionalContext": "hello"}
    }
    assert read(render_context("SessionStart", "hello")) == expected
    assert read(render_context(None, "lost", notice="n")) == {"systemMessage": "n"}
    assert render_context("SessionStart") == Reply()


@given(st.text(st.characters(codec=None)))
def test_every_text_is_valid_and_bounded(text: str) -> None:
    """Valid UTF-8 without lone surrogates, and no longer than the client takes."""
    for reply in (render_verdict(Verdict("deny", text + "x")), render_context("Stop", text + "x")):
        assert reply.stdout.decode("utf-8").endswith("\n")
        json.loads(reply.stdout).__repr__().encode("utf-8")


def test_long_texts_are_cut() -> None:
    """The client would spill them to a file."""
    reason = read(render_verdict(Verdict("deny", "é" * 50_000)))["hookSpecificOutput"][
        "permissionDecisionReason"
    ]
    assert len(reason) == TEXT_LIMIT
    assert reason.endswith("…")
