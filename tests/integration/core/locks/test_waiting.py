"""Waiting for locks on real servers: in the order of arrival, called when it is one's turn, never
for oneself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from tests.support.redis_fixtures import wait_for
from tests.support.store_fixtures import contradictions, join, try_in_queue

from octet.base.errors import AgentGone, Deadlock, LockAwaited, LockHeld
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.locks.waiting import QueuePlace, give_up

Begin = Callable[..., "Future[Mapping[str, str]]"]


@pytest.fixture
def begin(octet: Octet) -> Iterator[Begin]:
    """Start to wait in a thread; returns once the waiter has its place."""
    stop = threading.Event()
    with ThreadPoolExecutor() as pool:

        def start(
            agent: Agent, *resources: str, wait_s: float = 20, **named: Any
        ) -> Future[Mapping[str, str]]:
            before = waiting(octet)
            found = pool.submit(
                octet.locks.acquire_when_free, agent, resources, wait_s, stop=stop, **named
            )
            wait_for(lambda: found.done() or waiting(octet) > before, "it waits")
            return found

        yield start
        stop.set()


def waiting(octet: Octet) -> int:
    return int(octet.store.client.hlen(octet.store.keys.lock("waiting")))


def queue_up(octet: Octet, agent: Agent, *resources: str) -> QueuePlace:
    """A waiter without a process, as one whose process was killed."""
    place = QueuePlace()
    with pytest.raises(LockHeld):
        try_in_queue(octet, agent, resources, place)
    return place


def holder(octet: Octet, resource: str) -> str:
    return octet.locks.get(resource).holder


def test_the_first_to_come_is_the_first_to_get_it(octet: Octet, begin: Begin) -> None:
    """Five wait; each gets it in the order of arrival, as soon as the one before releases it, with
    a greater token each time.
    """
    first, *others = [join(octet) for _ in range(6)]
    token = octet.locks.acquire(first, ["name:x"])["name:x"]
    waits = [begin(agent, "name:x") for agent in others]
    (lock,) = octet.locks.list()
    assert [waiter.agent for waiter in lock.waiting] == [agent.id for agent in others]
    for agent, found in zip(others, waits, strict=True):
        began = time.monotonic()
        octet.locks.release("name:x", token)
        before, token = token, found.result(timeout=5)["name:x"]
        assert time.monotonic() - began < 2  # called, not found at the next look
        assert int(token) > int(before)
        assert holder(octet, "name:x") == agent.id
    assert waiting(octet) == 0
    assert contradictions(octet) == []


def test_nobody_passes_who_waits(octet: Octet, begin: Begin) -> None:
    """A newcomer is refused what others wait for, free or not, and told who is first; with a place
    it comes after them.
    """
    first, second, third = join(octet), join(octet), join(octet)
    octet.locks.acquire(first, ["name:x"])
    found = begin(second, "name:x", "name:y")
    with pytest.raises(LockAwaited, match=f"name:y goes to {second.id} first") as awaited:
        octet.locks.acquire(third, ["name:y"])
    assert awaited.value.waiting == 1
    last = begin(third, "name:y")
    octet.locks.break_lock("name:x", "ann")
    assert set(found.result(timeout=5)) == {"name:x", "name:y"}
    assert not last.done()
    octet.agents.leave(second)
    assert set(last.result(timeout=5)) == {"name:y"}


def test_who_holds_it_is_never_behind(octet: Octet, begin: Begin) -> None:
    """The holder, and its sub-agent, take again what others wait for; and take what those wait for
    besides.
    """
    agent, other = join(octet), join(octet)
    child = join(octet, parent=agent.id, process=f"{agent.process}#a1")
    tokens = octet.locks.acquire(agent, ["name:x", "path:a"])
    begin(other, "name:x", "path:a", "name:y")
    assert octet.locks.acquire(agent, ["name:x", "path:a"]) == tokens
    assert octet.locks.acquire(child, ["name:x"]) == {"name:x": tokens["name:x"]}
    assert octet.locks.acquire(child, ["path:a"])
    assert octet.locks.acquire(agent, ["name:y"])


def test_a_tool_call_passes_who_waits_for_something_else_too(octet: Octet) -> None:
    """A write of one turn need not wait for one who cannot go on anyway; it must when that one is
    called, or has waited for long.
    """
    first, second, third = join(octet), join(octet), join(octet)
    octet.locks.acquire(first, ["path:a"])
    place = queue_up(octet, second, "path:a", "path:b")
    octet.locks.acquire(third, ["path:b"], scope="turn")
    octet.locks.end_turn(third)
    waits, key = octet.store.client, octet.store.keys.lock("waiting")
    line = waits.hget(key, place.waiter)
    words = line.split("\n")[0].split(" ")
    waits.hset(key, place.waiter, line.replace(f" {words[3]} ", f" {int(words[3]) - 31_000} ", 1))
    with pytest.raises(LockAwaited):
        octet.locks.acquire(third, ["path:b"], scope="turn")


def test_it_takes_all_or_holds_nothing(octet: Octet, begin: Begin) -> None:
    """While one of two is held by another, the waiter holds neither."""
    first, second, third = (join(octet) for _ in range(3))
    token = octet.locks.acquire(first, ["path:a"])["path:a"]
    found = begin(second, "path:b", "path:a")
    assert {lock.holder for lock in octet.locks.list()} == {first.id}
    octet.locks.acquire(third, ["path:b"], scope="turn")
    octet.locks.release("path:a", token)
    time.sleep(0.05)
    assert not found.done()
    octet.locks.end_turn(third)
    assert set(found.result(timeout=5)) == {"path:a", "path:b"}


@pytest.mark.parametrize("end", ["end_turn", "leave", "expire", "complete", "break"])
def test_every_end_of_a_lock_calls(octet: Octet, begin: Begin, end: str) -> None:
    """Turn, task, departure, death and a person's word: the waiter is called at once."""
    agent, other = join(octet), join(octet)
    if end == "complete":
        octet.tasks.add("x", task_id="x")
        task = octet.tasks.claim(agent)
    octet.locks.acquire(agent, ["path:a"], scope="turn")
    found = begin(other, "path:a")
    ends: dict[str, Callable[[], object]] = {
        "end_turn": lambda: octet.locks.end_turn(agent),
        "leave": lambda: octet.agents.leave(agent),
        "expire": lambda: octet.agents.expire(agent),
        "complete": lambda: octet.tasks.complete(task.id, task.token),
        "break": lambda: octet.locks.break_lock("path:a", "ann"),
    }
    began = time.monotonic()
    ends[end]()
    assert found.result(timeout=5)
    assert time.monotonic() - began < 2


def test_a_lock_that_runs_out_is_seen(octet: Octet, begin: Begin) -> None:
    """The end of a TTL comes without an announcement."""
    octet.locks.acquire(join(octet), ["name:x"], ttl_ms=300)
    assert begin(join(octet), "name:x").result(timeout=3)


def test_the_time_is_over(octet: Octet, begin: Begin) -> None:
    """The refusal is the holder's, nothing is taken, and the place is given up, so that the next
    waiter goes on.
    """
    first, second, third = (join(octet) for _ in range(3))
    octet.locks.acquire(first, ["name:x"])
    found = begin(second, "name:x", "name:y", wait_s=0.2)
    behind = begin(third, "name:y")
    with pytest.raises(LockHeld, match=f"name:x is held by {first.id}"):
        found.result(timeout=5)
    assert behind.result(timeout=2)
    assert waiting(octet) == 0


def test_a_dead_waiter_does_not_hold_up_the_queue(octet: Octet, begin: Begin) -> None:
    """One that does not come when it is called is passed over within a moment; a process that stood
    still finds its place again.
    """
    first, dead, living = (join(octet) for _ in range(3))
    token = octet.locks.acquire(first, ["name:x"])["name:x"]
    place = queue_up(octet, dead, "name:x")
    found = begin(living, "name:x")
    began = time.monotonic()
    octet.locks.release("name:x", token)
    token = found.result(timeout=5)["name:x"]
    assert 0.2 < time.monotonic() - began < 2
    late = queue_up(octet, join(octet), "name:x")
    with pytest.raises(LockHeld):
        try_in_queue(octet, dead, ["name:x"], place)
    octet.locks.release("name:x", token)
    assert try_in_queue(octet, dead, ["name:x"], place)
    give_up(octet.store, late)


def test_a_dead_agent_waits_no_more(octet: Octet, begin: Begin) -> None:
    """A waiter expired while it waits is told, and the next waiter goes on at once."""
    first, second, third = (join(octet) for _ in range(3))
    octet.locks.acquire(first, ["name:x"])
    gone, behind = begin(second, "name:x", "name:y"), begin(third, "name:y")
    octet.agents.expire(second)
    assert behind.result(timeout=2)
    octet.agents.leave(first)
    with pytest.raises(AgentGone):
        gone.result(timeout=8)


def test_two_that_wait_for_each_other(octet: Octet, begin: Begin) -> None:
    """The later is told to yield, whom it would wait for, and what to do; when it releases, the
    other goes on.
    """
    first, second = join(octet), join(octet)
    octet.locks.acquire(first, ["path:x"])
    token = octet.locks.acquire(second, ["path:y"])["path:y"]
    found = begin(first, "path:y")
    with pytest.raises(Deadlock) as dead:
        octet.locks.acquire_when_free(second, ["path:x"], 20)
    assert dead.value.chain == (("path:x", first.id), ("path:y", second.id))
    assert str(dead.value).startswith(
        f"waiting would never end: {second.id} would wait for path:x of {first.id}, who "
        "waits for path:y"
    )
    octet.locks.release("path:y", token)
    assert found.result(timeout=5)


def test_a_longer_circle(octet: Octet, begin: Begin) -> None:
    """Four agents, through a directory, a place in the queue and a sub-agent."""
    agents = [join(octet) for _ in range(4)]
    child = join(octet, parent=agents[2].id, process=f"{agents[2].process}#a1")
    for n, agent in enumerate(agents):
        octet.locks.acquire(agent, [f"path:{n}/a"])
    begin(agents[0], "path:1/")
    begin(agents[1], "path:2/a")
    begin(child, "path:3/*")
    with pytest.raises(Deadlock) as dead:
        octet.locks.acquire_when_free(agents[3], ["path:0/a"], 20)
    assert [agent for _, agent in dead.value.chain] == [
        agents[0].id,
        agents[1].id,
        agents[2].id,
        agents[3].id,
    ]


def test_a_circle_through_the_queue(octet: Octet, begin: Begin) -> None:
    """Who stands behind another in the queue waits for that one too."""
    first, second, third = (join(octet) for _ in range(3))
    octet.locks.acquire(first, ["name:a"])
    octet.locks.acquire(third, ["name:c"])
    begin(second, "name:a", "name:b")
    begin(third, "name:b")
    with pytest.raises(Deadlock):
        octet.locks.acquire_when_free(first, ["name:c"], 20)


def test_a_circle_that_closes_later(octet: Octet, begin: Begin) -> None:
    """What an agent takes while it waits elsewhere closes the circle without a new wait: the
    youngest is told when it next asks.
    """
    first, second = join(octet), join(octet)
    octet.locks.acquire(first, ["name:a"])
    third = join(octet)
    token = octet.locks.acquire(third, ["name:b"])["name:b"]
    begin(second, "name:a")
    place = queue_up(octet, first, "name:b")
    octet.locks.release("name:b", token)
    octet.store.client.delete(octet.store.keys.lock("name:b"))
    octet.store.client.set(
        octet.store.keys.lock("name:b"), second.id
    )  # as if it had got it in a tool call
    with pytest.raises(Deadlock):
        try_in_queue(octet, first, ["name:b"], place)


def test_no_circle_where_there_is_none(octet: Octet, begin: Begin) -> None:
    """Two that wait for a third, which holds what both want, wait."""
    first, second, third = (join(octet) for _ in range(3))
    octet.locks.acquire(first, ["name:a", "name:b"])
    octet.locks.acquire(second, ["name:c"])
    waits = [begin(second, "name:a"), begin(third, "name:b", "name:c")]
    octet.agents.leave(first)
    assert waits[0].result(timeout=5)
    octet.agents.leave(second)
    assert waits[1].result(timeout=5)


def test_spoiled_places_are_left_out(octet: Octet) -> None:
    """A place written by hand holds up no agent."""
    octet.store.client.hset(
        octet.store.keys.lock("waiting"), mapping={"a": "", "b": "x", "c": "1 a - 1 1"}
    )
    assert octet.locks.acquire(join(octet), ["name:x"])


def test_a_wait_is_ended_by_hand(octet: Octet) -> None:
    """`stop` ends it within a second, with the refusal."""
    first, second = join(octet), join(octet)
    octet.locks.acquire(first, ["name:x"])
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(LockHeld):
        octet.locks.acquire_when_free(second, ["name:x"], 30, stop=stop)
    assert waiting(octet) == 0
