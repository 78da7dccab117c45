"""`octet msg …`"""

from __future__ import annotations

from typing import Any

from tests.cli.conftest import Shop
from tests.support.store_fixtures import join


def test_send_and_inbox(shop: Shop) -> None:
    """A message is sent to an agent or role, shown once, on one line, whatever is in it."""
    agent = join(shop.octet)
    sent = shop.json("msg", "send", agent.id, "hello\n\x1b[2J\u202e there")
    assert (sent["to"], sent["from"]) == (agent.id, "person-ann")
    assert shop.run("msg", "send", "architect", "for whoever comes").out.startswith(
        "sent to architect as architect/"
    )
    env: dict[str, Any] = {"OCTET_AGENT": agent.id}
    lines = shop.run("msg", "inbox", **env).out
    assert lines.startswith(f"[{sent['refs'][0]}] from person-ann, note, ")
    assert lines.endswith("\n> hello\n>  there\n")
    assert shop.run("msg", "inbox", **env).out == "no new messages\n"
    assert [
        found["text"]
        for found in shop.json("msg", "inbox", OCTET_AGENT="arch", OCTET_ROLE="architect")
    ] == ["for whoever comes"]
    assert shop.json("msg", "inbox") == []


def test_to_nobody(shop: Shop) -> None:
    """A name that no agent and no role bears is an error of usage: it has no reader."""
    assert "octet agent list" in shop.refuses("msg", "send", "develper-1", "x", code=2)
    assert "roles: orchestrator, architect" in shop.refuses(
        "msg", "send", "develper-1", "x", code=2
    )
    assert "no agent or role" in shop.refuses("msg", "send", "\x1b[2J", "x", code=2)
    shop.refuses("msg", "send", "developer", " ", code=2)
    shop.run("msg", "send", "developer", code=2)


def test_options_of_send(shop: Shop) -> None:
    """Kind, task, priority and what it answers are with the message; `-` is standard input; too
    long a text is refused with its limit.
    """
    agent = join(shop.octet)
    task = shop.octet.tasks.add("work").id
    ref = shop.json("msg", "send", agent.id, "first")["refs"][0]
    words = ["--kind", "question", "--task", task, "--priority", "high", "--reply-to", ref]
    shop.run("msg", "send", agent.id, "-", *words, stdin="from a file\n")
    found = shop.json("msg", "inbox", OCTET_AGENT=agent.id)
    assert [
        (message["text"], message["kind"], message["task"], message["reply_to"])
        for message in found
    ] == [
        ("from a file\n", "question", task, ref),
        ("first", "note", "", ""),
    ]
    assert "1 to 16384 characters" in shop.refuses("msg", "send", agent.id, "x" * 20_000, code=2)
    assert "is no message" in shop.refuses(
        "msg", "send", agent.id, "x", "--reply-to", "nonsense", code=2
    )
    assert "goes with a role" in shop.refuses("msg", "send", agent.id, "x", "--all", code=2)
    assert (
        shop.run("msg", "send", "developer", "to each", "--all").out
        == "sent to developer (1 agents)\n"
    )
    assert shop.json("msg", "send", f"task:{task}", "to its holder")["refs"][0].startswith(
        f"task:{task}/"
    )


def test_looking_back(shop: Shop) -> None:
    """What was read lately, one message whole, and what became of what was sent."""
    agent = join(shop.octet)
    env: dict[str, Any] = {"OCTET_AGENT": agent.id}
    ref = shop.json("msg", "send", agent.id, "y" * 10_000)["refs"][0]
    assert "waits" in shop.run("msg", "inbox", "--sent").out
    assert "> …" in shop.run("msg", "inbox", **env).out
    assert "read" in shop.run("msg", "inbox", "--sent").out
    assert shop.run("msg", "inbox", ref, **env).out.count("y") == 10_000
    assert "read before" in shop.run("msg", "inbox", "--recent", **env).out
    assert "no message" in shop.refuses("msg", "inbox", ref, code=2)


def test_ack(shop: Shop) -> None:
    """An agent can mark what it was given and not seen to read as read; no other agent can."""
    agent = join(shop.octet)
    ref = shop.json("msg", "send", agent.id, "x")["refs"][0]
    assert "not given to you" in shop.refuses("msg", "ack", ref, code=2, OCTET_AGENT=agent.id)
    shop.octet.messages.take(agent, {"session": "s"})
    assert "not given to you" in shop.refuses("msg", "ack", ref, code=2)
    assert shop.run("msg", "ack", ref, OCTET_AGENT=agent.id).out == f"read: {ref}\n"
    assert shop.json("msg", "inbox", OCTET_AGENT=agent.id) == []
