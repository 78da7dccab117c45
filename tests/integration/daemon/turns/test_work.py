"""Whether there is work for an idle agent."""

from __future__ import annotations

from tests.integration.daemon.client import Client
from tests.integration.daemon.turns.crew import (
    WAKE,
    me,
    prompt,
)

from octet.client.api import Octet
from octet.daemon.turns.work import has_work


def test_a_standby_orchestrator_is_not_handed_the_leaders_work(
    sessions: list[Client], octet: Octet
) -> None:
    """It would be refused: only the one that leads is handed plans, and woken for them."""
    for session in sessions:
        session.start(agent_type="octet:orchestrator")
        session.stop()
    octet.tasks.add("plan it", stage="plan")
    assert [has_work(octet, me(octet, name)) for name in ("orchestrator-1", "orchestrator-2")] == [
        True,
        False,
    ]
    assert prompt(sessions[1], WAKE) == ""
    assert "your next task is 1" in prompt(sessions[0], WAKE)
