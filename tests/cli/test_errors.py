"""`octet errors` at the command line."""

from __future__ import annotations

from tests.cli.conftest import Shop


def test_errors(shop: Shop) -> None:
    """Reported by commands and by LPUSH, counted and listed; a limit turns the exit code."""
    assert (
        shop.json(
            "errors", "add", "e", "Agent 2: File not found - config.ts", "--item", "config.ts"
        )["count"]
        == 1
    )
    shop.octet.store.client.lpush("workflow:{shop}:error:e", "Agent 3: Syntax error in utils.ts")
    assert shop.run("errors", "count", "e").out == "2\n"
    assert [report["text"] for report in shop.json("errors", "list", "e")] == [
        "Agent 2: File not found - config.ts",
        "Agent 3: Syntax error in utils.ts",
    ]
    shop.run("errors", "check", "e")
    assert "stop the work: 2" in shop.refuses("errors", "check", "e", "--fail-fast", "2")
    shop.run("errors", "limit", "e", "3")
    shop.run("errors", "check", "e")
    ran = shop.octet.errors("e").add("third")
    assert ran.stopped
    assert "stop the work: 3, the last: third" in shop.refuses("errors", "check", "e")
    shop.run("queue", "push", "q", "x")
    assert "stop the work" in shop.refuses("queue", "reserve", "q", "--unless", "e")
    shop.run("errors", "limit", "e", "0")
    shop.run("errors", "check", "e")
    assert shop.json("errors", "clear", "e")["cleared"] == 3
    assert shop.run("errors", "list", "e").out == "no errors\n"
