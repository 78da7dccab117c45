"""Agents on real servers: who an agent is, was, and is not; what leaving, dying and coming back do
to its work.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.store_fixtures import contradictions, join, snapshot

from octet.base.errors import AgentGone, NotFound, Refused, UsageError
from octet.base.vocabulary import ROLES
from octet.client.api import Octet
from octet.core.agents.registry import LEASE_MS, LOCK_TTL_MS, Agent, Registration


def register(octet: Octet, **facts: Any) -> tuple[Agent, str]:
    joined = octet.agents.register(Registration(**facts))
    return joined.agent, joined.how


def test_a_process_stays_who_it_is(octet: Octet) -> None:
    """`/clear` gives a process another session, and it asks for another role: it is the same agent,
    with the same incarnation.
    """
    first, how = register(octet, role="developer", process="h:1:1", session="s1", cwd="/a")
    again, known = register(octet, role="guest", process="h:1:1", session="s2", cwd="/b")
    assert (how, known) == ("new", "known")
    assert (again.id, again.incarnation, again.role, again.joined_ms) == (
        first.id,
        first.incarnation,
        "developer",
        first.joined_ms,
    )
    assert (again.cwd, again.session) == ("/b", "s2")
    assert list(octet.agents.list()) == [again]


def test_a_session_comes_back_as_who_it_was(octet: Octet) -> None:
    """A resumed session gets its old name, in a new incarnation, once its old process expired."""
    first, _ = register(octet, role="developer", process="h:1:1", session="s1")
    octet.agents.expire(first)
    again, how = register(octet, role="developer", process="h:2:1", session="s1")
    assert (again.id, how) == (first.id, "back")
    assert int(again.incarnation) > int(first.incarnation)


def test_a_session_in_another_role_is_somebody_new(octet: Octet) -> None:
    """A name tells its role, so a session that comes back in another role gets another name."""
    first, _ = register(octet, role="developer", process="h:1:1", session="s1")
    octet.agents.expire(first)
    assert register(octet, role="architect", process="h:2:1", session="s1")[0].id == "architect-1"


def test_one_session_in_two_live_processes_is_two_agents(octet: Octet) -> None:
    """Two terminals that resume one session are guarded from each other."""
    first, _ = register(octet, role="developer", process="h:1:1", session="s1")
    second, how = register(octet, role="developer", process="h:2:1", session="s1")
    assert (first.id, second.id, how) == ("developer-1", "developer-2", "new")
    assert octet.agents.find("h:1:1") == first
    assert octet.agents.find("h:2:1") == second


def test_numbers_are_not_given_twice(octet: Octet) -> None:
    """The number of an agent that left is not reused; one already taken as a name is skipped."""
    register(octet, role="developer", name="developer-2")
    first, second = join(octet), join(octet)
    assert (first.id, second.id) == ("developer-1", "developer-3")
    octet.agents.leave(second)
    assert join(octet).id == "developer-4"


def test_agents_without_process_and_session_share_nothing(octet: Octet) -> None:
    """Two that say only a role are two; a later one is not the one that left."""
    first, _ = register(octet, role="worker")
    second, _ = register(octet, role="worker")
    octet.agents.leave(second)
    third, how = register(octet, role="worker")
    assert ([first.id, second.id, third.id], how) == (["worker-1", "worker-2", "worker-3"], "new")


def test_a_name_without_a_process_is_whoever_says_it(octet: Octet) -> None:
    """A script or a person is the same agent at each command."""
    first, how = register(octet, role="person", kind="person", name="person-ann", lease_ms=1000)
    again, known = register(octet, role="person", kind="person", name="person-ann", lease_ms=60_000)
    assert (how, known, again.incarnation) == ("new", "known", first.incarnation)
    assert octet.store.client.pttl(octet.store.keys.heartbeat("person-ann")) > 1000


def test_a_name_of_a_process_is_that_process_only(octet: Octet) -> None:
    """Another process, or none, cannot take a name that a live process bears."""
    register(octet, role="worker", name="build", process="h:1:1")
    for process in ("h:2:1", ""):
        before = snapshot(octet.store.client)
        with pytest.raises(Refused, match="build is another process"):
            register(octet, role="worker", name="build", process=process)
        assert snapshot(octet.store.client) == before
    assert register(octet, role="worker", name="build", process="h:1:1")[1] == "known"


@pytest.mark.parametrize(
    "name", [*ROLES, "guest", "a b", "1a", 'a"b', "a\nb", "a}", "é", "a" * 65, "-", "a:b", "a\n"]
)
def test_names_that_cannot_be(octet: Octet, name: str) -> None:
    """A name is plain, and not a role's: an agent of that name would take the role's messages."""
    with pytest.raises(UsageError):
        register(octet, role="worker", name=name)
    if name not in (*ROLES, "guest"):
        with pytest.raises(UsageError):
            register(octet, role=name)
    assert snapshot(octet.store.client) == {}


@pytest.mark.parametrize("lease_ms", [0, -5])
def test_a_lease_lasts(octet: Octet, lease_ms: int) -> None:
    """A lease of no length is refused."""
    with pytest.raises(UsageError):
        register(octet, role="worker", lease_ms=lease_ms)


hostile = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    ['"', '","id":"x', "}", "{}", "\\", "\n", "\x00", "a" * 100_000]
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(texts=st.lists(hostile, min_size=6, max_size=6), capabilities=st.lists(hostile, max_size=3))
def test_hostile_facts_stay_facts(
    single_octet: Octet, texts: list[str], capabilities: list[str]
) -> None:
    """Whatever session, process, directory or branch are called, the entry is that agent's, whole,
    and can be changed and expired.
    """
    octet = single_octet
    octet.store.client.flushall()
    session, process, cwd, worktree, branch, parent = texts
    wanted = Registration(
        role="developer",
        session=session,
        process=process,
        cwd=cwd,
        worktree=worktree,
        branch=branch,
        parent=parent,
        capabilities=tuple(capabilities),
    )
    agent = octet.agents.register(wanted).agent
    shown = (
        agent.session,
        agent.process,
        agent.cwd,
        agent.worktree,
        agent.branch,
        agent.parent,
        agent.capabilities,
    )
    assert shown == (*texts[:5], parent, tuple(capabilities))
    assert (agent.id, agent.role, agent.status) == ("developer-1", "developer", "active")
    record = json.loads(octet.store.client.hget(octet.store.keys.registry, agent.id))
    assert record["id"] == agent.id
    assert octet.agents.update(agent, branch=cwd).branch == octet.agents.get(agent.id).branch == cwd
    if process:
        assert octet.agents.find(process) is not None
        assert octet.agents.register(wanted).how == "known"
    assert octet.agents.expire(agent) is not None
    assert octet.store.client.hlen(octet.store.keys.processes) == 0


def test_text_that_is_no_unicode_is_refused(octet: Octet) -> None:
    """A lone surrogate cannot be stored; it is an error of usage, and nothing is registered."""
    with pytest.raises(UsageError, match="Unicode"):
        register(octet, role="developer", cwd="/\ud800")
    assert octet.agents.list() == []


def test_join(octet: Octet) -> None:
    """Another role is another name; claims go back uncounted, locks are freed, the process is known
    by the new name.
    """
    agent = join(octet, "guest")
    octet.tasks.add("x")
    task = octet.tasks.claim(agent)
    octet.locks.acquire(agent, ["path:a"], scope="turn")
    joined = octet.agents.join(agent, "developer")
    assert (joined.id, joined.role, joined.process) == ("developer-1", "developer", agent.process)
    assert int(joined.incarnation) > int(agent.incarnation)
    assert octet.agents.find(agent.process) == joined
    assert (octet.tasks.get(task.id).state, octet.tasks.get(task.id).attempts) == ("pending", 0)
    assert octet.locks.list() == []
    assert [found.id for found in octet.agents.list()] == ["developer-1"]
    assert octet.agents.join(joined, "developer") == joined
    with pytest.raises(AgentGone):
        octet.agents.join(agent, "architect")
    with pytest.raises(UsageError, match="choose one of orchestrator"):
        octet.agents.join(joined, "pirate")
    assert contradictions(octet) == []


def test_join_without_a_process_keeps_the_name(octet: Octet) -> None:
    """A person or a script is known by name, so the name stays and the role changes; so does what
    is left of its lease.
    """
    person, _ = register(octet, role="person", kind="person", name="person-ann", lease_ms=1_000_000)
    joined = octet.agents.join(person, "developer")
    assert (joined.id, joined.role, joined.kind) == ("person-ann", "developer", "person")
    again, how = register(octet, role="person", kind="person", name="person-ann")
    assert (again.role, how) == ("developer", "known")
    octet.agents.join(again, "architect")
    assert octet.store.client.pttl(octet.store.keys.heartbeat("person-ann")) <= 1_000_000


def test_expired_is_believed_without_heartbeat_only(octet: Octet) -> None:
    """`bury_expired` spares who has a heartbeat; `bury` comes from one who saw the process end."""
    agent = join(octet)
    assert octet.agents.expire_silent(agent) is None
    octet.store.client.delete(octet.store.keys.heartbeat(agent.id))
    assert octet.agents.without_heartbeat() == [agent]
    assert octet.agents.expire_silent(agent) is not None
    assert octet.agents.expire_silent(agent) is None
    other = join(octet)
    assert octet.agents.expire(other) is not None
    assert octet.agents.expire(other) is None
    assert octet.agents.leave(other) is None
    assert [
        event.fields["reason"] for event in octet.events.log() if event.type == "agent_died"
    ] == ["expired", "died"]


def test_an_old_incarnation_cannot_bury_the_new(octet: Octet) -> None:
    """Word of a death that comes late does not touch the agent that bears the name again."""
    first, _ = register(octet, role="developer", process="h:1:1", session="s")
    octet.agents.expire(first)
    again, _ = register(octet, role="developer", process="h:2:1", session="s")
    assert again.id == first.id
    before = snapshot(octet.store.client)
    assert octet.agents.expire(first) is None
    assert octet.agents.leave(first) is None
    assert list(octet.agents.heartbeat([first])) == [False]
    with pytest.raises(AgentGone):
        octet.agents.update(first, branch="x")
    with pytest.raises(AgentGone):
        octet.locks.acquire(first, ["path:a"])
    assert octet.locks.end_turn(first) == []
    assert snapshot(octet.store.client) == before


def test_a_death_gives_everything_back(octet: Octet) -> None:
    """Claims and locks of a dead agent are free in the same step, and the released names them."""
    agent, other = join(octet), join(octet)
    for number in range(3):
        octet.tasks.add(str(number))
        octet.tasks.claim(agent, max_claims=3)
    octet.locks.acquire(agent, ["path:a", "name:b", "repository:main"])
    released = octet.agents.expire(agent)
    assert released is not None
    assert (sorted(released.tasks), sorted(released.resources)) == (
        ["1", "2", "3"],
        ["name:b", "path:a", "repository:main"],
    )
    assert octet.locks.acquire(other, released.resources)
    assert octet.tasks.claim(other).id == "1"
    assert contradictions(octet) == []


def test_an_agent_with_ten_thousand_locks_can_be_buried(single_octet: Octet) -> None:
    """Neither its death nor its turn's end is too much for one script."""
    octet = single_octet
    agent = join(octet)
    names = [f"path:{number}" for number in range(10_000)]
    octet.locks.acquire(agent, names, scope="turn")
    assert len(octet.locks.end_turn(agent)) == 10_000
    octet.locks.acquire(agent, names)
    released = octet.agents.expire(agent)
    assert released is not None
    assert len(released.resources) == 10_000


def test_beats_renew_leases_and_locks(octet: Octet) -> None:
    """A heartbeat renews the agent's lease and its locks' TTL, forgets a lock that passed on, and
    shortens nothing.
    """
    client, keys = octet.store.client, octet.store.keys
    agent, other = join(octet), join(octet)
    octet.locks.acquire(agent, ["path:short", "path:long", "path:lost"])
    client.pexpire(keys.lock("path:short"), 1000)
    client.pexpire(keys.lock("path:long"), 10 * LOCK_TTL_MS)
    client.pexpire(keys.heartbeat(agent.id), 1000)
    octet.locks.break_lock("path:lost", "ann")
    octet.locks.acquire(other, ["path:lost"], ttl_ms=5000)
    client.sadd(keys.agent_locks(agent.id), "path:lost")
    assert list(octet.agents.heartbeat([agent])) == [True]
    assert client.pttl(keys.heartbeat(agent.id)) > LEASE_MS - 5000
    assert client.pttl(keys.lock("path:short")) > LOCK_TTL_MS - 5000
    assert client.pttl(keys.lock("path:long")) > 9 * LOCK_TTL_MS
    assert client.pttl(keys.lock("path:lost")) <= 5000
    assert set(client.smembers(keys.agent_locks(agent.id))) == {"path:short", "path:long"}


def test_beats_of_many_tell_who_is_gone(octet: Octet) -> None:
    """One pipeline answers for each agent in turn; an empty list gets no answers."""
    agents = [join(octet) for _ in range(50)]
    for dead in agents[::7]:
        octet.agents.expire(dead)
    assert list(octet.agents.heartbeat(agents)) == [agent not in agents[::7] for agent in agents]
    assert octet.agents.heartbeat([]) == []


def test_list_get_find(octet: Octet) -> None:
    """By role and number; who is not there is not found."""
    for _ in range(11):
        join(octet)
    join(octet, "architect")
    ids = [agent.id for agent in octet.agents.list()]
    assert ids == ["architect-1", *(f"developer-{number}" for number in range(1, 12))]
    assert octet.agents.get("developer-3").id == "developer-3"
    with pytest.raises(NotFound):
        octet.agents.get("developer-99")
    assert octet.agents.find("h:9:9") is None
    assert octet.agents.name_of_session("nobody") == ""


def test_update_replaces_facts(octet: Octet) -> None:
    """Facts change, identity does not."""
    agent = join(octet)
    changed = octet.agents.update(agent, branch="topic", worktree="/w")
    assert octet.agents.get(agent.id) == changed == replace(agent, branch="topic", worktree="/w")
