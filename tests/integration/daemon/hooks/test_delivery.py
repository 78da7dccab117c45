"""Mail follows an agent that has another name."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.daemon.turns.test_mail import Session, left, send
from tests.integration.daemon.turns.test_mail import sessions as sessions

from octet.client.api import Octet


def test_what_was_sent_to_the_name_before(sessions: Callable[[str], Session], octet: Octet) -> None:
    """Who joins in a role has another name; what was sent to the one before still comes."""
    guest = sessions("s9")
    guest.start()
    guest.prompt()
    guest.batch()
    send(octet, "old name", to="guest-1")
    octet.agents.join(octet.agents.get("guest-1"), "developer")
    assert "> old name" in guest.batch()
    assert guest.batch() == ""
    assert left(octet, "guest-1") == 0
