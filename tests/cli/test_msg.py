"""`octet msg …`"""

from __future__ import annotations

from tests.cli.conftest import Shop
from tests.store_fixtures import join


def test_send_and_inbox(shop: Shop) -> None:
    """A message is sent to an agent or role, shown once, on one line, whatever is in it."""
    agent = join(shop.octet)
    sent = shop.json("msg", "send", agent.id, "hello\n\x1b[2J\u202e there")
    assert (sent["to"], sent["from"]) == (agent.id, "person-ann")
    assert shop.run("msg", "send", "architect", "for whoever comes").out.startswith("sent to architect as architect/")
    env = {"OCTET_AGENT": agent.id}
    lines = shop.run("msg", "inbox", **env).out
    assert lines.startswith(f"[{sent['refs'][0]}] from person-ann, note, ")
    assert lines.endswith("\n> hello\n>  there\n")
    assert shop.run("msg", "inbox", **env).out == "no new messages\n"
    assert [found["text"] for found in shop.json("msg", "inbox", OCTET_AGENT="arch", OCTET_ROLE="architect")] == ["for whoever comes"]
    assert shop.json("msg", "inbox") == []


def test_to_nobody(shop: Shop) -> None:
    """A name that no agent and no role bears is an error of usage: nobody would ever read it."""
    assert "octet agent list" in shop.refuses("msg", "send", "develper-1", "x", code=2)
    assert "no agent or role" in shop.refuses("msg", "send", "\x1b[2J", "x", code=2)
    shop.refuses("msg", "send", "developer", " ", code=2)
    shop.run("msg", "send", "developer", code=2)
