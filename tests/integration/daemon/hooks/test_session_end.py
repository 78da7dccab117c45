"""A session ends."""

from __future__ import annotations

from tests.integration.daemon.client import Client, agent, agents

from octet.client.api import Octet


def test_a_clean_exit_gives_everything_back(clients: list[Client], octet: Octet) -> None:
    """SessionEnd takes the session and its sub-agents off."""
    one = clients[0]
    one.start()
    one.fire("SubagentStart", agent_id="x1", agent_type="Explore")
    one.write("a.py", agent_id="x1")
    octet.tasks.add("work")
    octet.tasks.claim(agent(octet, "guest-1"))
    one.fire("SessionEnd", reason="prompt_input_exit")
    assert agents(octet) == []
    assert octet.locks.list() == []
    assert octet.tasks.counts()["pending"] == 1
