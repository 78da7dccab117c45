"""`octet agent …`"""

from __future__ import annotations

import os
from typing import Any

from tests.cli.conftest import Shop
from tests.support.store_fixtures import join


def test_list_and_show(shop: Shop) -> None:
    """Agents are listed with what they hold; without a name, `show` is about oneself."""
    assert shop.run("agent", "list").out == "no agents\n"
    agent = join(shop.octet, cwd="/work\x1b[2J", branch="topic\u202e")
    shop.octet.tasks.add("x", task_id="login")
    shop.octet.tasks.claim(agent)
    shop.octet.locks.acquire(agent, ["path:a.py"])
    listed = shop.run("agent", "list").out
    assert "developer-1" in listed
    assert "login" in listed
    assert all(c.isprintable() or c == "\n" for c in listed)
    shown = shop.json("agent", "show", agent.id)
    assert (shown["agent"]["id"], shown["tasks"], shown["locks"]) == (
        agent.id,
        ["login"],
        ["path:a.py"],
    )
    assert "lock  path:a.py" in shop.run("agent", "show", agent.id).out
    assert shop.json("agent", "show")["agent"]["id"] == "person-ann"
    assert [found["id"] for found in shop.json("agent", "list")] == ["developer-1", "person-ann"]
    assert "no agent nobody" in shop.refuses("agent", "show", "nobody", code=2)


def test_join_keeps_for_the_next_command(shop: Shop) -> None:
    """A person, a named script and a session that take a role have it at their next command."""
    for env in (
        {},
        {"OCTET_AGENT": "ci"},
        {"CLAUDE_PID": str(os.getpid()), "CLAUDE_CODE_SESSION_ID": "s1"},
    ):
        joined = shop.json("agent", "join", "developer", **env)
        shown = shop.json("agent", "show", **env)["agent"]
        assert (shown["id"], shown["role"]) == (joined["id"], "developer")
    assert len(shop.octet.agents.list()) == 3
    assert shop.run("agent", "join", "developer").out == "you are person-ann (developer) now\n"
    assert (
        shop.run("agent", "join", "architect", CLAUDE_PID=str(os.getpid())).out
        == "you are architect-1 (architect) now\n"
    )


def test_join_waits_for_the_task(shop: Shop) -> None:
    """A task's holder keeps its role until the task ends; an unknown role is a usage error."""
    shop.run("task", "add", "x")
    shop.run("task", "claim")
    assert "holds task 1" in shop.refuses("agent", "join", "architect")
    assert "Invalid value" in shop.run("agent", "join", "pirate", code=2).err


def test_leave(shop: Shop) -> None:
    """A leaving agent gives back its claims and locks; another agent can be removed by name."""
    agent = join(shop.octet)
    shop.octet.tasks.add("x")
    shop.octet.tasks.claim(agent)
    shop.octet.locks.acquire(agent, ["path:a"])
    assert shop.json("agent", "leave", agent.id) == {
        "agent": agent.id,
        "tasks": ["1"],
        "locks": ["path:a"],
    }
    assert shop.octet.tasks.get("1").state == "pending"
    assert shop.run("agent", "leave").out == "person-ann has left\n"
    assert shop.octet.agents.list() == []
    assert "no agent" in shop.refuses("agent", "leave", agent.id, code=2)


def test_names_that_cannot_be(shop: Shop) -> None:
    """A bad OCTET_AGENT, OCTET_ROLE or OCTET_LEASE_S is 2, in one line."""
    for env in (
        {"OCTET_AGENT": "a b"},
        {"OCTET_AGENT": "x", "OCTET_ROLE": "\x1b"},
        {"OCTET_AGENT": "x", "OCTET_LEASE_S": "inf"},
    ):
        shop.refuses("agent", "show", code=2, **env)


def test_pause_and_resume(shop: Shop) -> None:
    """Seen in list, show and status, with the reason; what is held stays held; `resume` also ends a
    parking; joining again does too.
    """
    agent = join(shop.octet)
    shop.octet.tasks.add("x")
    shop.octet.tasks.claim(agent)
    told = shop.run("agent", "pause", agent.id, "--reason", "lunch\x1b[2J").out
    assert told == f"{agent.id} is paused and handed nothing more; it still holds 1\n"
    for words in (("agent", "list"), ("agent", "show", agent.id), ("status",)):
        assert "paused: lunch [2J" in shop.run(*words).out
    assert (
        shop.json("agent", "list")[0]["stopped"]
        == shop.json("status")["agents"][0]["stopped"]
        == "paused: lunch [2J"
    )
    assert [
        (e.type, e.fields["by"]) for e in shop.octet.events.log() if e.type == "agent_paused"
    ] == [("agent_paused", "person-ann")]
    assert "it was paused: lunch" in shop.run("agent", "resume", agent.id).out
    shop.octet.work_states.park(agent, "it stopped twice", [])
    assert f"stopped {agent.id} is parked: it stopped twice" in shop.run("status").out
    assert shop.json("agent", "resume", agent.id) == {
        "agent": agent.id,
        "was": "parked: it stopped twice",
    }
    assert shop.run("agent", "resume", agent.id).out == f"{agent.id} is handed work again\n"
    assert "no agent nobody" in shop.refuses("agent", "pause", "nobody", code=2)


def test_who_has_left_wants_no_work_until_it_joins_again(shop: Shop) -> None:
    """The next hook of a session that left registers it under its old name, paused."""
    env: dict[str, Any] = {"CLAUDE_PID": str(os.getpid()), "CLAUDE_CODE_SESSION_ID": "s1"}
    name = shop.json("agent", "join", "developer", **env)["id"]
    shop.run("agent", "leave", **env)
    again = join(shop.octet, session="s1")
    assert again.id == name
    assert "it has left" in shop.octet.work_states.get(name).stopped
    shop.octet.agents.leave(again)
    assert shop.json("agent", "join", "developer", **env)["role"] == "developer"
    assert (
        shop.octet.work_states.get(shop.json("agent", "show", **env)["agent"]["id"]).stopped == ""
    )
