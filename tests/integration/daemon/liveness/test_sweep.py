"""The sweeper lease, and leases that run out."""

from __future__ import annotations

from tests.support.redis_fixtures import wait_for

from octet.base.process import host_id
from octet.client.api import Octet
from octet.core.agents.registry import Registration
from octet.daemon.liveness.heartbeat import Heartbeat, Pace
from octet.daemon.liveness.rescuer import Rescuer
from octet.daemon.liveness.sweep import sweep
from octet.daemon.projects.sessions import Projects


def test_an_expired_agent_of_another_machine_is_buried(octet: Octet, heartbeat: Heartbeat) -> None:
    """Elsewhere only the lease can tell: one that has run out is the end."""
    octet.agents.register(
        Registration(
            role="developer", process="elsewhere-0:1:1", host="elsewhere-0", pid=1, lease_ms=50
        )
    )
    alive = octet.agents.register(
        Registration(role="developer", process="elsewhere-0:2:1", host="elsewhere-0", pid=2)
    ).agent
    wait_for(lambda: len(octet.agents.without_heartbeat()) == 1, "the lease runs out")
    heartbeat.start()
    wait_for(lambda: [agent.id for agent in octet.agents.list()] == [alive.id], "it is buried")


def test_a_lease_that_runs_out_is_heard_of(octet: Octet, projects: Projects) -> None:
    """Where the server tells of it, no round is waited for."""
    octet.store.client.config_set("notify-keyspace-events", "Ex")
    slow = Heartbeat(projects, Pace(lease_ms=600_000))
    elsewhere = Registration(
        role="developer", process="elsewhere-0:1:1", host="elsewhere-0", pid=1, lease_ms=2000
    )
    octet.tasks.add("contested")
    octet.tasks.claim(octet.agents.register(elsewhere).agent)
    try:
        slow.start()
        wait_for(lambda: not octet.agents.list(), "it is buried")
    finally:
        slow.stop()
        octet.store.client.config_set("notify-keyspace-events", "")
    task = octet.tasks.get("1")
    assert (task.state, [(ended.attempt, ended.agent, ended.reason) for ended in task.ended]) == (
        "pending",
        [(1, "developer-1", "expired")],
    )


def test_one_daemon_of_all_has_the_sweep(octet: Octet) -> None:
    """Until its machine goes silent; the next holder has a greater epoch, and what began under the
    old one expires no agent.
    """
    elsewhere = Registration(
        role="developer", process="elsewhere-0:1:1", host="elsewhere-0", pid=1, lease_ms=1
    )
    agent = octet.agents.register(elsewhere).agent
    wait_for(lambda: len(octet.agents.without_heartbeat()) == 1, "the lease runs out")
    first = octet.agents.acquire_sweeper("one:1:1", 60_000)
    assert octet.agents.acquire_sweeper("one:1:1", 200) == first
    assert octet.agents.acquire_sweeper("two:1:1", 200) == ""
    wait_for(lambda: octet.agents.acquire_sweeper("two:1:1", 60_000) != "", "the sweep passes on")
    second = octet.agents.acquire_sweeper("two:1:1", 60_000)
    assert int(second) > int(first)
    assert octet.agents.expire_silent(agent, first) is None
    octet.agents.heartbeat([agent])
    assert octet.agents.expire_silent(agent, second) is None, "it has come back"
    octet.store.client.delete(octet.store.keys.heartbeat(agent.id))
    assert octet.agents.expire_silent(agent, second) is not None


def test_a_daemon_without_the_sweep_buries_its_own_only(octet: Octet) -> None:
    """Only this daemon can save its machine's work; other machines' dead are not its concern."""
    assert octet.agents.acquire_sweeper("two:1:1", 60_000)
    for name, host in (("own", host_id()), ("other", "elsewhere-0")):
        octet.agents.register(Registration(name=name, host=host, lease_ms=1))
    wait_for(lambda: len(octet.agents.without_heartbeat()) == 2, "the leases run out")
    sweep(octet, Rescuer(), (), 1000)
    assert [agent.id for agent in octet.agents.list()] == ["other"]
