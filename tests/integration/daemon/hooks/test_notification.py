"""The client says that a session is idle."""

from __future__ import annotations

from tests.integration.daemon.client import Client

from octet.client.api import Octet


def test_an_interrupted_turn_ends_when_the_session_is_idle(
    clients: list[Client], octet: Octet
) -> None:
    """Esc fires no Stop; the idle notification frees the turn's locks, any other none."""
    one = clients[0]
    one.start()
    one.write("a.py")
    one.fire("Notification", notification_type="permission_prompt", message="m")
    assert len(octet.locks.list()) == 1
    one.fire("Notification", notification_type="idle_prompt", message="m")
    assert octet.locks.list() == []
