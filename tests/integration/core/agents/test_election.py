"""The orchestrator's election on real servers: one leads, the living are never replaced, the
replaced write nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.redis_fixtures import wait_for
from tests.support.store_fixtures import join, snapshot

from octet.base.errors import AgentGone, NotLeading
from octet.client.api import Octet
from octet.core.agents.election import LEADS, STANDBY
from octet.core.agents.registry import Agent, Registration


def elected(octet: Octet) -> list[tuple[str, int]]:
    """Who was elected, with which epoch, in order."""
    events = octet.events.replay("0", "orchestrator_elected")
    return [(event.fields["agent"], int(event.fields["epoch"])) for event in events]


def leader(octet: Octet) -> str:
    found = octet.election.leader()
    return found.agent if found else ""


def refused(octet: Octet, agent: Agent, task_id: str) -> list[str]:
    """What an orchestrator is told at each write in its role; nothing in the store has changed by
    any of them.
    """
    before, told = snapshot(octet.store.client), []
    tasks: Any = octet.tasks
    calls: list[Callable[[], object]] = [
        lambda: tasks.add("x", by=agent),
        lambda: tasks.add_many([], by=agent) or tasks.add("y", by=agent),
        lambda: tasks.cancel(task_id, by=agent),
        lambda: tasks.retry(task_id, by=agent),
        lambda: tasks.claim(agent, "plan"),
    ]
    for call in calls:
        with pytest.raises((NotLeading, AgentGone)) as error:
            call()
        told.append(str(error.value))
    assert snapshot(octet.store.client) == before
    return told


def test_the_first_leads_and_the_second_waits(octet: Octet) -> None:
    """The first to register is elected; the second changes nothing and may not write as one."""
    first = join(octet, "orchestrator")
    second = join(octet, "orchestrator")
    task = octet.tasks.add("x", by=first)
    assert [octet.election.position(agent) for agent in (first, second)] == [LEADS, STANDBY]
    assert [name for name, _ in elected(octet)] == [first.id]
    for told in refused(octet, second, task.id):
        assert f"{first.id} has led for" in told
        assert f"(epoch {elected(octet)[0][1]})" in told
    assert octet.election.position(join(octet)) == ""


@pytest.mark.parametrize("end", ["expire", "leave", "expire silently", "join", "rejoin"])
def test_whoever_goes_is_replaced_in_the_same_step(octet: Octet, end: str) -> None:
    """By death, leave, lease or another role: the longest waiter leads under a greater epoch, and
    has a message that wakes it.
    """
    first, second, third = (join(octet, "orchestrator") for _ in range(3))
    if end == "expire silently":
        octet.store.client.delete(octet.store.keys.heartbeat(first.id))
        octet.agents.expire_silent(first)
    elif end in ("join", "rejoin"):
        changed = octet.agents.join(first, "developer")
        if end == "rejoin":
            assert octet.election.position(octet.agents.join(changed, "orchestrator")) == STANDBY
    else:
        getattr(octet.agents, end)(first)
    assert leader(octet) == second.id
    (before, now) = elected(octet)
    assert (before[0], now[0]) == (first.id, second.id)
    assert before[1] < now[1]
    (told,) = octet.messages.read(second)
    assert (told.sender, f"epoch {now[1]}" in told.text, first.id in told.text) == (
        "octet",
        True,
        True,
    )
    assert octet.messages.read(third) == []
    assert octet.tasks.add("x", by=second).created_by == second.id


def test_the_last_one_leaves_nobody(octet: Octet) -> None:
    """Without an agent in the role there is no leader; the next to come is elected with a greater
    epoch, without a message to itself.
    """
    octet.agents.leave(join(octet, "orchestrator"))
    assert octet.election.leader() is None
    late = join(octet, "orchestrator")
    assert leader(octet) == late.id
    assert elected(octet)[0][1] < elected(octet)[1][1]
    assert octet.messages.read(late) == []


def test_an_end_of_somebody_else_elects_nobody(octet: Octet) -> None:
    """Developers, guests and waiting orchestrators come and go under the same leader."""
    first, second = join(octet, "orchestrator"), join(octet, "orchestrator")
    octet.agents.expire(join(octet))
    octet.agents.expire(second)
    octet.agents.register(Registration(role="guest", process=first.process, session="after-clear"))
    assert [name for name, _ in elected(octet)] == [first.id] == [leader(octet)]


def test_a_slow_one_is_not_dead(octet: Octet) -> None:
    """Without a heartbeat it leads until it has expired, and a candidate without one waits behind
    those that have one.
    """
    first, silent, third = (join(octet, "orchestrator") for _ in range(3))
    octet.store.client.delete(
        octet.store.keys.heartbeat(first.id), octet.store.keys.heartbeat(silent.id)
    )
    assert octet.agents.expire_silent(third) is None
    join(octet, "orchestrator")
    assert leader(octet) == first.id
    octet.agents.expire_silent(first)
    assert leader(octet) == third.id
    octet.agents.leave(third)
    assert leader(octet) == "orchestrator-4"
    octet.agents.leave(octet.agents.get("orchestrator-4"))
    assert leader(octet) == silent.id


def test_one_that_comes_back_from_the_dead_waits(octet: Octet) -> None:
    """Its process stood still past its lease: what it had in hand is refused, and it returns under
    its name, on standby.
    """
    first = join(octet, "orchestrator", session="s1")
    second = join(octet, "orchestrator")
    task = octet.tasks.add("x", by=first)
    octet.store.client.delete(octet.store.keys.heartbeat(first.id))
    octet.agents.expire_silent(first)
    *led, gone = refused(octet, first, task.id)
    assert all(second.id in told for told in led)
    assert "declared dead" in gone
    # As a command of its session does: it says no role, and another session after `/clear`.
    again = octet.agents.register(Registration(kind="session", process=first.process, session="s2"))
    assert (again.agent.id, again.agent.role, again.how) == (first.id, "orchestrator", "back")
    assert octet.election.position(again.agent) == STANDBY
    for told in refused(octet, again.agent, task.id):
        assert second.id in told
    octet.agents.expire(second)
    assert octet.election.position(again.agent) == LEADS
    with pytest.raises(NotLeading):
        octet.tasks.add("x", by=first)


def test_who_left_on_purpose_comes_back_as_a_guest(octet: Octet) -> None:
    """Only an expired lease is remembered: a session that gave its role up does not get it back."""
    first = join(octet, "orchestrator")
    octet.agents.leave(first)
    assert octet.agents.register(Registration(process=first.process)).agent.role == "guest"


def test_fifty_at_once_elect_one(octet: Octet) -> None:
    """Whatever the order in which fifty register, one is elected, once; then each end elects
    exactly the next.
    """
    agents: list[Agent] = []
    start = threading.Barrier(50)

    def register(number: int) -> None:
        start.wait()
        agents.append(
            octet.agents.register(
                Registration(role="orchestrator", process=f"h:{number}:1", pid=number)
            ).agent
        )

    threads = [threading.Thread(target=register, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(agents) == 50
    assert len(elected(octet)) == 1
    for agent in sorted(agents, key=lambda agent: int(agent.incarnation)):
        assert leader(octet) == agent.id
        octet.agents.expire(agent)
    epochs = [epoch for _, epoch in elected(octet)]
    assert len(epochs) == 50
    assert epochs == sorted(set(epochs))


def test_its_mail_goes_to_the_one_that_leads(octet: Octet) -> None:
    """A waiting orchestrator gets what is sent to itself, and the leader what is sent to the role,
    the next one what it left.
    """
    first, second = join(octet, "orchestrator"), join(octet, "orchestrator")
    octet.messages.send("orchestrator", "to the role", sender="ann")
    octet.messages.send(second.id, "to you", sender="ann")
    assert [message.text for message in octet.messages.read(second)] == ["to you"]
    assert [message.text for message in octet.messages.read(first)] == ["to the role"]
    octet.messages.send("orchestrator", "left behind", sender="ann")
    octet.agents.expire(first)
    assert "left behind" in [message.text for message in octet.messages.read(second)]
    with pytest.raises(AgentGone):
        octet.messages.read(first)


def test_a_vacancy_made_by_hand_is_filled_by_the_next_registration(octet: Octet) -> None:
    """After the election's keys are deleted, the next registration of any agent fills it; epochs go
    on growing.
    """
    first = join(octet, "orchestrator")
    octet.store.client.delete(octet.store.keys.orchestrator)
    join(octet)
    assert leader(octet) == first.id
    octet.store.client.delete(octet.store.keys.orchestrator, octet.store.keys.candidates)
    octet.agents.register(Registration(role="guest", process=first.process))
    assert leader(octet) == first.id
    epochs = [epoch for _, epoch in elected(octet)]
    assert epochs == sorted(set(epochs))
    assert len(epochs) == 3


def test_people_and_other_roles_need_not_lead(octet: Octet) -> None:
    """A person, a developer and a script add, cancel and retry under any leader; a guest may plan
    where there is none.
    """
    join(octet, "orchestrator")
    for agent in (join(octet), join(octet, "guest"), None):
        task = octet.tasks.add("x", by=agent)
        octet.tasks.cancel(task.id, by=agent)
        assert octet.tasks.retry(task.id, by=agent) == "pending"
    octet.tasks.add("plan", stage="plan")
    assert octet.tasks.claim(join(octet, "guest"), "plan").stage == "plan"


def test_the_spoiled_inbox_of_the_next_one_stops_no_expiry(octet: Octet) -> None:
    """A key of another type in the inbox's place: it leads all the same, only untold."""
    first, second = join(octet, "orchestrator"), join(octet, "orchestrator")
    octet.store.client.set(octet.store.keys.inbox(second.id), "spoiled")
    assert octet.agents.expire(first) is not None
    assert leader(octet) == second.id


def test_a_restart_of_the_server_keeps_the_leader(octet: Octet) -> None:
    """Scripts are gone, the election is not."""
    first = join(octet, "orchestrator")
    octet.store.client.script_flush()
    join(octet, "orchestrator")
    wait_for(lambda: leader(octet) == first.id, "the leader stays")
    assert len(elected(octet)) == 1
