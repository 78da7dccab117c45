"""Why the queue waits, as read from the events of a real server."""

from __future__ import annotations

from tests.integration.merge.conftest import built, kinds, queue_of

from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.merge.waiting_reason import WAITING_EVENT, waiting_reason


def test_the_last_reason_until_something_is_merged(octet: Octet, guardian: Agent) -> None:
    """The latest reason counts, whatever else happens; a merge ends it."""
    assert waiting_reason(octet) == ""
    for why in ("first", "second"):
        octet.events.publish(WAITING_EVENT, {"branch": "main", "why": why})
    built(octet, {"b.txt": "x\n"})
    assert waiting_reason(octet) == "second"
    assert kinds(queue_of(octet, guardian).merge_once()) == ["merged"]
    assert waiting_reason(octet) == ""
