"""A turn's end: what is freed, published and removed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.integration.daemon.client import Client, agent, agents, opted_in

from octet.client.api import Octet
from octet.core.agents.work_state import WorkState
from octet.daemon.hooks.continuations import MAX_IN_A_ROW


def test_stop_is_published_with_agent_task_and_first_line(
    clients: list[Client], octet: Octet
) -> None:
    """The event has the agent, its role, its task and the first line of its last message."""
    one = clients[0]
    one.start(agent_type="octet:developer")
    octet.tasks.add("work")
    task = octet.tasks.claim(agent(octet, "developer-1"))
    one.stop("\n  Built it.\nDetails follow.")
    event = octet.events.log(1)[0]
    assert event.type == "turn_completed"
    assert {key: event.fields[key] for key in ("agent", "role", "task", "message")} == {
        "agent": "developer-1",
        "role": "developer",
        "task": task.id,
        "message": "  Built it.",
    }


def test_stop_retires_subagents_that_ended_without_a_word(
    clients: list[Client], octet: Octet
) -> None:
    """One that still runs in the background stays, one that TaskStop ended goes; an unknown one at
    SubagentStop is no agent.
    """
    one = clients[0]
    one.start()
    for child in ("x1", "x2"):
        one.fire("SubagentStart", agent_id=child, agent_type="Explore")
    one.stop(
        background_tasks=[{"id": "x2", "type": "subagent", "status": "running", "description": "d"}]
    )
    assert agents(octet) == ["guest-1", "guest-3"]
    one.fire("SubagentStop", agent_id="never", agent_type="", stop_hook_active=False)
    assert agents(octet) == ["guest-1", "guest-3"]


def test_agents_of_the_same_name_in_two_projects_end_their_own_turns(
    clients: list[Client], octet: Octet, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each project has its developer-1. That one goes on with mail until the client would cut it
    off, neither ends nor prolongs the turn of the other.
    """
    shop, bank, _ = clients
    bank.root = opted_in(tmp_path_factory.mktemp("bank"), "bank")
    for client in (shop, bank):
        client.start(agent_type="octet:developer")
    other = shop.service.projects.find(str(bank.root), bank.url).connected()
    went_on: dict[str, list[bool]] = {"shop": [], "bank": []}
    for number in range(MAX_IN_A_ROW + 1):
        for client, project in ((shop, octet), (bank, other)):
            project.messages.send("developer-1", f"note {number}", sender="architect-1")
            told = client.told(client.stop(stop_hook_active=number > 0))
            went_on[project.name].append(f"note {number}" in told)
        if number == MAX_IN_A_ROW - 2:
            bank.fire("PostToolBatch", tool_calls=[])
    assert went_on["shop"] == [True] * MAX_IN_A_ROW + [False]
    assert went_on["bank"] == [True] * (MAX_IN_A_ROW + 1), "a tool has run there"
    other.close()


def test_the_work_state_is_read_once_a_stop(
    clients: list[Client], octet: Octet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever follows; a second look after a claim only, for a pause at that moment."""
    one, looks = clients[0], [0]
    one.start(agent_type="octet:developer")
    read = octet.work_states.of

    def counted(names: Sequence[str]) -> dict[str, WorkState]:
        looks[0] += 1
        return read(names)

    monkeypatch.setattr(octet.work_states, "of", counted)

    def reads(told: str) -> int:
        looks[0] = 0
        assert told in one.told(one.stop())
        return looks[0]

    assert reads("") == 1
    octet.messages.send("developer-1", "hello", sender="architect-1")
    assert reads("hello") == 1
    octet.tasks.add("work")
    assert reads("task is 1") == 2
    assert reads("still hold task 1") == 1
    assert reads("is parked: it stopped twice") <= 2
    assert reads("is parked: it stopped twice") == 1
