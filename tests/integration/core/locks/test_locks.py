"""Locks on real servers: all or nothing, re-entrant, fenced, shared with sub-agents as far as is
safe, freed when their time comes.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.store_fixtures import contradictions, join, snapshot

from octet.base.errors import AgentGone, LockHeld, NotFound, StaleToken, UsageError
from octet.client.api import Octet
from octet.core.agents.registry import LOCK_TTL_MS, Agent
from octet.core.locks.locks import Lock


def child_of(octet: Octet, parent: Agent, name: str) -> Agent:
    return join(octet, parent=parent.id, process=f"{parent.process}#{name}")


def holders(octet: Octet) -> dict[str, str]:
    return {lock.resource: lock.holder for lock in octet.locks.list()}


def test_all_or_nothing(octet: Octet) -> None:
    """Where one resource is held, none is taken, whatever the order."""
    first, second = join(octet), join(octet)
    octet.locks.acquire(first, ["path:b"])
    for wanted in (["path:a", "path:b", "path:c"], ["path:b", "path:a"]):
        with pytest.raises(LockHeld, match=f"path:b is held by {first.id}") as held:
            octet.locks.acquire(second, wanted)
        assert (held.value.resource, held.value.holder) == ("path:b", first.id)
        assert 0 < held.value.ttl_ms <= LOCK_TTL_MS
    assert holders(octet) == {"path:b": first.id}
    assert octet.locks.acquire(second, []) == {}


def test_a_refusal_says_for_which_task_and_since_when(octet: Octet) -> None:
    """The one who is refused learns what the holder is at."""
    first, second = join(octet), join(octet)
    octet.tasks.add("x", task_id="login")
    octet.tasks.claim(first)
    octet.locks.acquire(first, ["path:a"], scope="turn")
    with pytest.raises(LockHeld, match=f"path:a is held by {first.id} for task login") as held:
        octet.locks.acquire(second, ["path:a"])
    assert held.value.task == "login"
    assert abs(held.value.since_ms - octet.now_ms()) < 60_000


def test_reentrant(octet: Octet) -> None:
    """What the agent holds keeps its token and its age, and is renewed, never shortened."""
    agent = join(octet)
    token = octet.locks.acquire(agent, ["path:a"], ttl_ms=500_000)["path:a"]
    since = octet.locks.get("path:a").since_ms
    assert octet.locks.acquire(agent, ["path:a", "path:b"], ttl_ms=1000)["path:a"] == token
    assert octet.locks.get("path:a").ttl_ms > 400_000
    assert octet.locks.get("path:a").since_ms == since
    octet.locks.acquire(agent, ["path:a"], ttl_ms=900_000)
    assert octet.locks.get("path:a").ttl_ms > 800_000


def test_the_same_resource_twice_in_one_breath(octet: Octet) -> None:
    """A resource named twice is taken once."""
    agent = join(octet)
    tokens = octet.locks.acquire(agent, ["path:a", "path:a"])
    assert tokens["path:a"] == octet.locks.get("path:a").token
    assert [event.type for event in octet.events.log()].count("lock_acquired") == 1
    octet.locks.release("path:a", tokens["path:a"])


def test_a_parents_path_passes_to_its_subagent(octet: Octet) -> None:
    """A file that the session holds is the sub-agent's from its first touch on; the session then
    has to wait for it.
    """
    parent = join(octet)
    child = child_of(octet, parent, "a1")
    before = octet.locks.acquire(parent, ["path:a"], scope="turn")["path:a"]
    after = octet.locks.acquire(child, ["path:a"], scope="turn")["path:a"]
    assert int(after) > int(before)
    assert holders(octet) == {"path:a": child.id}
    with pytest.raises(LockHeld):
        octet.locks.acquire(parent, ["path:a"])
    with pytest.raises(StaleToken):
        octet.locks.release("path:a", before)
    assert octet.locks.end_turn(parent) == []
    assert contradictions(octet) == []
    octet.agents.leave(child)
    assert octet.locks.acquire(parent, ["path:a"])


def test_other_locks_of_a_parent_are_shared(octet: Octet) -> None:
    """A session's repository or name lets its sub-agent through, and stays the session's."""
    parent = join(octet)
    child = child_of(octet, parent, "a1")
    token = octet.locks.acquire(parent, ["repository:main", "name:x"])
    assert octet.locks.acquire(child, ["repository:main", "name:x"]) == token
    assert holders(octet) == {"repository:main": parent.id, "name:x": parent.id}
    octet.agents.expire(child)
    assert holders(octet) == {"repository:main": parent.id, "name:x": parent.id}


def test_siblings_and_strangers_conflict(octet: Octet) -> None:
    """Two sub-agents of one session are kept apart, and so are a sub-agent and another session."""
    parent, stranger = join(octet), join(octet)
    first, second = child_of(octet, parent, "a1"), child_of(octet, parent, "a2")
    octet.locks.acquire(first, ["path:a", "name:x"])
    for other in (second, stranger, child_of(octet, stranger, "b1")):
        for resource in ("path:a", "name:x"):
            with pytest.raises(LockHeld):
                octet.locks.acquire(other, [resource])


def test_a_child_of_nobody_passes_nowhere(octet: Octet) -> None:
    """Only the parent that the agent registered with counts; an empty one matches no lock, not even
    one without a holder.
    """
    agent = join(octet)
    octet.store.client.set(octet.store.keys.lock("name:x"), '{"holder": ""}')
    with pytest.raises(LockHeld):
        octet.locks.acquire(agent, ["name:x"])


def test_turn_and_task(octet: Octet) -> None:
    """A lock of the turn ends with it; taken or touched while the agent has a task, it lives as
    long as the task.
    """
    agent = join(octet)
    octet.locks.acquire(agent, ["path:turn"], scope="turn")
    octet.locks.acquire(agent, ["path:early"], scope="turn")
    octet.locks.acquire(agent, ["name:own"])
    octet.tasks.add("x")
    task = octet.tasks.claim(agent)
    octet.locks.acquire(agent, ["path:task"], scope="turn")
    token = octet.locks.acquire(agent, ["path:early"], scope="turn")["path:early"]
    assert (octet.locks.get("path:early").scope, octet.locks.get("path:early").task) == (
        "task",
        task.id,
    )
    assert octet.locks.end_turn(agent) == ["path:turn"]
    assert set(holders(octet)) == {"path:early", "path:task", "name:own"}
    assert octet.locks.get("path:early").token == token
    octet.tasks.complete(task.id, task.token)
    assert set(holders(octet)) == {"name:own"}


def test_what_was_asked_for_until_released_stays(octet: Octet) -> None:
    """A hook's lock of the turn that the agent then acquires by command outlives the turn; the
    other way round it stays too.
    """
    agent = join(octet)
    octet.locks.acquire(agent, ["path:a"], scope="turn")
    octet.locks.acquire(agent, ["path:a", "path:b"], scope="own")
    octet.locks.acquire(agent, ["path:b"], scope="turn")
    assert octet.locks.end_turn(agent) == []
    assert [lock.scope for lock in octet.locks.list()] == ["own", "own"]


def test_release(octet: Octet) -> None:
    """Only the lock's own token frees it: not an older one, not a star, not nothing."""
    agent, other = join(octet), join(octet)
    old = octet.locks.acquire(agent, ["path:a"])["path:a"]
    octet.locks.release("path:a", old)
    with pytest.raises(NotFound):
        octet.locks.release("path:a", old)
    octet.locks.acquire(other, ["path:a"])
    before = snapshot(octet.store.client)
    for token in (old, "*", "", "?"):
        with pytest.raises(StaleToken, match=f"{other.id} holds it now"):
            octet.locks.release("path:a", token)
    assert snapshot(octet.store.client) == before


def test_break(octet: Octet) -> None:
    """A person frees another's lock; the log says who and whose, and the old token is void."""
    agent, other = join(octet), join(octet)
    token = octet.locks.acquire(agent, ["repository:main"])["repository:main"]
    assert octet.locks.break_lock("repository:main", "person-ann") == agent.id
    event = octet.events.log(1)[0]
    assert (event.type, event.fields["by"], event.fields["agent"]) == (
        "lock_broken",
        "person-ann",
        agent.id,
    )
    octet.locks.acquire(other, ["repository:main"])
    with pytest.raises(StaleToken):
        octet.locks.release("repository:main", token)
    with pytest.raises(NotFound):
        octet.locks.break_lock("repository:never", "person-ann")
    octet.locks.acquire(agent, ["name:x"])
    assert octet.locks.break_lock("name:x", "") == agent.id


def test_a_lock_that_ran_out_is_free(octet: Octet) -> None:
    """Without renewal a lock ends by TTL; the old holder's death leaves the next holder's alone."""
    agent, other = join(octet), join(octet)
    octet.locks.acquire(agent, ["path:a"])
    octet.store.client.delete(octet.store.keys.lock("path:a"))
    assert octet.locks.list() == []
    assert octet.store.client.zcard(octet.store.keys.locks_index) == 0
    octet.locks.acquire(other, ["path:a"])
    released = octet.agents.expire(agent)
    assert released is not None
    assert released.resources == ()
    assert holders(octet) == {"path:a": other.id}


def test_an_ended_incarnation_takes_and_ends_nothing(octet: Octet) -> None:
    """An expired agent gets no lock, and its late end of turn frees none of its successor's."""
    agent = join(octet, session="s")
    octet.agents.expire(agent)
    again = join(octet, session="s")
    assert again.id == agent.id
    octet.locks.acquire(again, ["path:a"], scope="turn")
    with pytest.raises(AgentGone):
        octet.locks.acquire(agent, ["path:b"])
    assert octet.locks.end_turn(agent) == []
    with pytest.raises(AgentGone):
        octet.locks.acquire(replace(again, incarnation=""), ["path:b"])
    assert holders(octet) == {"path:a": again.id}


@pytest.mark.parametrize(
    "resource",
    [
        "",
        "a.py",
        "path:",
        "file:a",
        "path:a\nb",
        "path:\x00",
        "path:" + "a" * 4097,
        "index",
        "PATH:a",
    ],
)
def test_resources_that_cannot_be(octet: Octet, resource: str) -> None:
    """A resource has a known kind and a name without control characters."""
    agent = join(octet)
    for call in (
        lambda: octet.locks.acquire(agent, ["path:a", resource]),
        lambda: octet.locks.get(resource),
    ):
        with pytest.raises(UsageError, match="write repository:BRANCH"):
            call()
    assert octet.locks.list() == []


@pytest.mark.parametrize(
    "wrong", [{"scope": "for ever"}, {"scope": "task"}, {"ttl_ms": 0}, {"ttl_ms": -1}]
)
def test_terms_that_cannot_be(octet: Octet, wrong: dict[str, object]) -> None:
    """A scope is turn or own, a TTL longer than nothing."""
    with pytest.raises(UsageError):
        octet.locks.acquire(join(octet), ["path:a"], **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "resource",
    ["path:a b/ü/'\"{}$.py", "name:*", "repository:feature/x", "path:\udcff", "name:" + "x" * 4096],
)
def test_odd_resources(octet: Octet, resource: str) -> None:
    """Any other name is locked, listed and freed under that very name."""
    agent = join(octet)
    token = octet.locks.acquire(agent, [resource])[resource]
    assert holders(octet) == {resource: agent.id}
    octet.locks.release(resource, token)
    assert octet.locks.list() == []


def test_a_lock_read_from_any_value() -> None:
    """A value that is no record is its holder's name."""
    assert Lock.from_value("name:x", "agent:dev:001", 5) == Lock(
        "name:x", "agent:dev:001", ttl_ms=5
    )
    assert Lock.from_value("name:x", "[" * 9999, 5).holder == "[" * 9999
    odd = Lock.from_value(
        "name:x", '{"holder": "a", "token": 5, "since_ms": 1e999, "task": null}', -1
    )
    assert odd == Lock("name:x", "a", ttl_ms=-1)
