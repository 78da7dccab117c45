"""Work states in the store: one writer, also where two changes meet."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.store_fixtures import join

from octet.base.errors import AgentGone
from octet.client.api import Octet
from octet.core.agents import work_changes
from octet.core.agents.registry import Agent
from octet.core.agents.work_changes import WorkChange
from octet.core.agents.work_state import HandedTask, WorkState, to_fields


@pytest.fixture
def agent(octet: Octet) -> Agent:
    return join(octet)


def fields(octet: Octet, agent: Agent) -> dict[str, str]:
    found: dict[str, str] = octet.store.client.hgetall(octet.store.keys.work_state(agent.id))
    return found


def test_a_change_writes_what_it_changed(octet: Octet, agent: Agent) -> None:
    """And nothing else: a field that someone added stays; absent parts leave no field."""
    octet.store.client.hset(octet.store.keys.work_state(agent.id), "own", "x")
    octet.work_states.change(agent, work_changes.end_turn)
    written = fields(octet, agent)
    assert int(written.pop("idle_ms")) == pytest.approx(octet.now_ms(), abs=5000)
    assert written == {"own": "x", "begun": "1", "version": "1"}
    octet.work_states.change(agent, work_changes.unchanged)
    assert fields(octet, agent)["version"] == "1"
    octet.work_states.change(agent, work_changes.begin_session)
    assert fields(octet, agent) == {"own": "x", "version": "2"}
    assert octet.work_states.get(agent.id) == WorkState()


def test_a_change_that_met_another_is_made_again(octet: Octet, agent: Agent) -> None:
    """It is made of what that left: a reminder counts on from the one that came between."""
    task = HandedTask("1", "10")
    octet.work_states.change(agent, lambda state: work_changes.hand_over(state, task))
    known, seen = octet.work_states.get(agent.id), list[WorkState]()
    remind: WorkChange = lambda state: work_changes.remind(state, "a", asked=False)  # noqa: E731
    octet.work_states.pause(agent, "lunch")
    octet.work_states.change(agent, remind)

    def reminded_again(state: WorkState) -> WorkState:
        seen.append(state)
        return remind(state)

    before = octet.work_states.change(agent, reminded_again, known=known)
    after = octet.work_states.get(agent.id)
    assert (len(seen), seen[0], seen[1]) == (2, known, before)
    assert after.task == replace(task, mark="a", reminders=2)
    assert after.paused == "lunch"


def test_a_pause_is_lifted_by_who_made_it(octet: Octet, agent: Agent) -> None:
    """Another's stays, and that of an agent that is gone harms nothing."""
    octet.work_states.pause(agent, "", "budget")
    octet.work_states.lift(agent, "octet down")
    assert octet.work_states.get(agent.id).stopped == "paused: until `octet agent resume`"
    octet.agents.leave(agent)
    octet.work_states.lift(agent, "budget")
    with pytest.raises(AgentGone):
        octet.work_states.resume(agent)


def test_stops_are_told_to_the_watchers(octet: Octet, agent: Agent) -> None:
    """Each with its reason; the record outlives nothing for ever."""
    octet.work_states.pause(agent, "lunch", "person-ann")
    octet.work_states.resume(agent)
    octet.work_states.park(agent, "it stopped", ["1", "2"], first=work_changes.end_turn)
    told = [(e.type, e.fields) for e in octet.events.replay("0-0") if e.type.startswith("agent_")]
    assert [kind for kind, _ in told[-3:]] == ["agent_paused", "agent_resumed", "agent_parked"]
    assert (told[-3][1]["reason"], told[-3][1]["by"]) == ("lunch", "person-ann")
    assert (told[-1][1]["reason"], told[-1][1]["tasks"]) == ("it stopped", "1 2")
    assert octet.store.client.pttl(octet.store.keys.work_state(agent.id)) > 0
    assert octet.work_states.get(agent.id).begun


def test_a_spoiled_version_keeps_nobody_out(octet: Octet, agent: Agent) -> None:
    """What stands there by hand counts as none; a record of the version before has none."""
    key = octet.store.keys.work_state(agent.id)
    for spoiled in ("x", "-3", "9" * 16, "1.5", ""):
        octet.store.client.hset(key, "version", spoiled)
        octet.work_states.pause(agent, "lunch")
        assert fields(octet, agent)["version"] == "1"
    octet.store.client.delete(key)
    old = {name: text for name, text in to_fields(WorkState(begun=True)).items() if text}
    octet.store.client.hset(key, mapping=old)
    octet.work_states.resume(agent)
    assert octet.work_states.get(agent.id) == WorkState()
