"""One round of a project."""

from __future__ import annotations

import subprocess

from tests.integration.daemon.liveness.processes import register
from tests.support.redis_fixtures import wait_for

from octet.client.api import Octet
from octet.core.agents.registry import Registration
from octet.daemon.liveness.heartbeat import Heartbeat


def test_fifty_agents_are_renewed_by_one_pipeline(octet: Octet) -> None:
    """The cost of a round does not grow by a round trip for each agent."""
    agents = [
        octet.agents.register(Registration(role="developer", name=f"d{n}")).agent for n in range(50)
    ]
    before = int(octet.store.client.info("stats")["total_net_input_bytes"])
    assert octet.agents.heartbeat(agents) == [True] * 50
    assert int(octet.store.client.info("stats")["total_net_input_bytes"]) - before < 50 * 600


def test_the_living_are_renewed_before_the_expired_are_buried(
    octet: Octet, heartbeat: Heartbeat, sleeper: subprocess.Popen[bytes]
) -> None:
    """A daemon that comes back late finds a lease run out whose process lives: the agent keeps task
    and lock.
    """
    agent = register(octet, sleeper)
    octet.tasks.add("long work")
    task = octet.tasks.claim(agent)
    octet.store.client.delete(octet.store.keys.heartbeat(agent.id))
    heartbeat.start()
    wait_for(
        lambda: bool(octet.store.client.exists(octet.store.keys.heartbeat(agent.id))),
        "the lease is renewed",
    )
    octet.tasks.complete(task.id, task.token)
