"""The runaway guard parks an agent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.integration.daemon.client import Client
from tests.integration.daemon.turns.crew import (
    WAKE,
    feedback,
    held,
    me,
    new_guest,
    prompt,
)

from octet.client.api import Octet
from octet.daemon.turns import parking
from octet.daemon.turns.work import has_work


def test_a_model_that_always_stops_is_parked_and_says_so(one: Client, octet: Octet) -> None:
    """At the third stop: the claim goes back uncounted with a note, event, message and status tell,
    and a prompt lets it go on.
    """
    octet.tasks.add("work")
    stops = [one.stop() for _ in range(4)]
    assert [bool(feedback(reply)) for reply in stops] == [True, True, False, False]
    for reply in stops[2:]:
        assert "developer-1 is parked" in one.told(reply)
    task = octet.tasks.get("1")
    assert (task.state, task.holder, task.attempts) == ("pending", "", 0)
    assert "its agent was parked: it stopped twice" in task.last_reason
    (event,) = [event for event in octet.events.log() if event.type == "agent_parked"]
    assert (event.fields["agent"], event.fields["tasks"]) == ("developer-1", "1")
    orchestrator = octet.agents.join(new_guest(octet), "orchestrator")
    (message,) = octet.messages.read(orchestrator)
    assert "developer-1 is parked" in message.text
    assert not has_work(octet, me(octet))
    prompt(one, WAKE)
    assert octet.work_states.get("developer-1").parked, "a machine wake is no person"
    prompt(one, "go on, please")
    assert octet.work_states.get("developer-1").stopped == ""


def test_a_claim_that_an_idle_agent_never_touched_is_given_back(
    one: Client, octet: Octet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Esc lost the hand-out and no prompt followed: after a while the agent is parked, unless the
    task was touched; never one that is at work.
    """
    octet.tasks.add("work")
    one.stop()
    kept: list[str] = []

    def sweep() -> list[str]:
        parking.release_untouched(octet, [me(octet)], lambda _, agent: kept.append(agent.id))
        return held(octet)

    assert sweep() == ["1"], "its turn goes on"
    one.fire("Notification", notification_type="idle_prompt", message="m")
    assert sweep() == ["1"], "it has not been idle for long"
    monkeypatch.setattr(parking, "UNTOUCHED_MS", 0)
    octet.tasks.progress("1", octet.tasks.get("1").token, 10)
    assert sweep() == ["1"], "it was begun"
    octet.tasks.release("1", octet.tasks.get("1").token)
    octet.work_states.change(me(octet), lambda state: replace(state, task=None))
    prompt(one, "Begin.")
    octet.work_states.change(me(octet), lambda state: replace(state, asked=False))
    one.stop()
    one.fire("Notification", notification_type="idle_prompt", message="m")
    assert sweep() == []
    assert kept == ["developer-1"]
    assert "never began it" in octet.work_states.get("developer-1").parked
