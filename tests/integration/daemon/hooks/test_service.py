"""Each event goes to its handler once, or follows the failure policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.integration.daemon.client import Client

from octet.client.api import Octet
from octet.daemon.protocol.wire import Reply
from octet.project import trust
from octet.project.config import FILE


def test_plugin_and_drop_in_answer_one_event_once(clients: list[Client], octet: Octet) -> None:
    """The same bytes from both sources: one context, one event in the log."""
    one = clients[0]
    assert "you are guest-1" in one.start()
    assert one.fire("SessionStart", by="dropin", source="startup") == Reply()
    common: dict[str, Any] = {"stop_hook_active": False, "last_assistant_message": "Done."}
    one.fire("Stop", **common)
    one.fire("Stop", by="dropin", **common)
    assert [event.type for event in octet.events.log(10)].count("turn_completed") == 1


def test_an_undone_repository_is_silent_at_once(clients: list[Client], repository: Path) -> None:
    """`octet init --undo` in the middle of a session: no guard, no word."""
    one = clients[0]
    one.start()
    trust.revoke(repository)
    assert one.write("a.py") == ""


def test_broken_settings_block_writes_with_the_line_at_fault(
    clients: list[Client], repository: Path
) -> None:
    """A typing mistake in octet.toml must not switch the guard off; any other event goes on and
    says so.
    """
    one = clients[0]
    one.start()
    (repository / FILE).write_text('project = "shop"\non_store_dwon = "deny"\n')
    assert "on_store_dwon" in one.write("a.py")
    assert "on_store_dwon" in one.told(one.fire("UserPromptSubmit", prompt="p"))


def test_a_changed_server_url_is_not_followed(clients: list[Client], repository: Path) -> None:
    """A pulled octet.toml that names another server: nothing connects there, the guard says why."""
    one = clients[0]
    one.url = ""
    (repository / FILE).write_text('project = "shop"\n[redis]\nurl = "redis://192.0.2.1:6379"\n')
    assert "changed its server URL" in one.write("a.py")


def test_a_store_that_is_down_denies_once_per_write_and_notes_once_per_minute(
    clients: list[Client],
) -> None:
    """Shared checkout: refused with the reason. Prompts go on; the notice comes once."""
    one = clients[0]
    one.url = "redis://127.0.0.1:1"
    assert "127.0.0.1:1" in one.write("a.py")
    assert "127.0.0.1:1" in one.write("b.py")
    assert "127.0.0.1:1" in one.told(one.fire("UserPromptSubmit", prompt="1"))
    assert one.fire("UserPromptSubmit", prompt="2") == Reply()
