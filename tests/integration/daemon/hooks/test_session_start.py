"""A session begins."""

from __future__ import annotations

from tests.integration.daemon.turns.test_mail import LOST, Session, send
from tests.integration.daemon.turns.test_mail import one as one
from tests.integration.daemon.turns.test_mail import sessions as sessions

from octet.client.api import Octet


def test_a_briefing_and_mail_fit_together(one: Session, octet: Octet) -> None:
    """At a session's start both are within what the client shows."""
    for _ in range(10):
        send(octet, "y" * 3000)
    told = one.start("compact", arrives=LOST)
    assert "you are developer-1" in told
    assert "more messages wait" in told
    assert len(told) < 10_000
