"""What a hook is answered where something went wrong inside the daemon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from octet.daemon.hooks.failure import failure_reply
from octet.daemon.protocol.wire import Reply, Request
from octet.project.config import FILE


@pytest.fixture
def root(tmp_path: Path) -> str:
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_text('project = "shop"\n')
    return str(tmp_path)


def test_any_event_but_the_guards_goes_on_and_says_why(root: str) -> None:
    """One line for the person."""
    reply = failure_reply(Request("Stop", root), "Octet: it broke")
    assert (reply.exit_code, json.loads(reply.stdout)) == (0, {"systemMessage": "Octet: it broke"})


def test_the_guard_denies_a_write_in_the_shared_checkout(root: str) -> None:
    """As `on_store_down` says by default, with the reason."""
    call = {
        "session_id": "s",
        "cwd": root,
        "hook_event_name": "PreToolUse",
        "tool_name": "Write",
        "tool_input": {"file_path": f"{root}/a.py"},
    }
    reply = failure_reply(
        Request("PreToolUse", root, payload=json.dumps(call).encode()), "it broke"
    )
    answer = json.loads(reply.stdout)["hookSpecificOutput"]
    assert answer["permissionDecision"] == "deny"
    assert "it broke" in answer["permissionDecisionReason"]


@pytest.mark.parametrize(("agent", "code"), [("developer-1", 1), ("", 0)])
def test_git_stops_an_agent_at_a_protected_branch_but_no_person(
    root: str, agent: str, code: int
) -> None:
    """By the fence's own policy."""
    move = f"{'0' * 40} {'1' * 40} refs/heads/main\n"
    asked = "\0".join(['["main"]', "1", "", root, "", agent, "", "", move]).encode()
    reply = failure_reply(Request("Fence", root, payload=asked), "it broke")
    assert bool(reply.exit_code) == bool(code)
    assert (reply == Reply()) == (not code)
