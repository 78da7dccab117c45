"""What a shell command changed of files that others hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.daemon.client import Client


def run_shell(
    client: Client, command: str, call: str, does: Callable[[], object], event: str = "PostToolUse"
) -> str:
    """A shell command from its first hook to its last; what its model is told afterwards."""
    given: dict[str, Any] = {
        "tool_name": "Bash",
        "tool_input": {"command": command},
        "tool_use_id": call,
    }
    assert client.told(client.fire("PreToolUse", **given)) == ""
    client.service.context.overwrites._pool.submit(
        lambda: None
    ).result()  # the look before has been taken
    does()
    return client.told(client.fire(event, **given))


@pytest.mark.parametrize("event", ["PostToolUse", "PostToolUseFailure"])
def test_a_write_that_nobody_saw_coming_is_told_to_both(
    clients: list[Client], repository: Path, event: str
) -> None:
    """A program changes a file that another agent holds: its model is told at once, the holder with
    its next prompt.
    """
    one, two, _ = clients
    one.start()
    two.start()
    one.write("a.py")
    two.service.context.overwrites._written.clear()  # as when the holder wrote a while ago
    told = run_shell(two, "make", "t1", lambda: (repository / "a.py").write_text("made"), event)
    assert "a.py" in told
    assert "guest-1" in told
    told = one.told(one.fire("UserPromptSubmit", prompt="p"))
    assert "a.py, which you hold" in told
    assert "guest-2" in told
    assert run_shell(two, "make", "t2", lambda: None) == ""


def test_what_the_holder_writes_itself_is_no_news(clients: list[Client], repository: Path) -> None:
    """Neither its edits nor its own running commands while another's command runs; and not what is
    unlocked.
    """
    one, two, _ = clients
    one.start()
    two.start()
    one.write("a.py")
    assert (
        run_shell(
            two, "make", "t1", lambda: (one.write("a.py"), (repository / "a.py").write_text("1"))
        )
        == ""
    )
    one.fire(
        "PreToolUse",
        tool_name="Bash",
        tool_input={"command": "sleep 9; echo > a.py"},
        tool_use_id="long",
    )
    one.service.context.overwrites._written.clear()
    assert run_shell(two, "make", "t2", lambda: (repository / "a.py").write_text("22")) == ""
    assert run_shell(two, "make", "t3", lambda: (repository / "b.py").write_text("1")) == ""
