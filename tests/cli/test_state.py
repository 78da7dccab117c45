"""`octet state` at the command line."""

from __future__ import annotations

import signal

from tests.cli.conftest import RedisCli, Shop, started

P = "workflow:{shop}:"


def test_state(shop: Shop, redis_cli: RedisCli) -> None:
    """Set by version, read, deleted, and the same hash for redis-cli."""
    first = shop.json("state", "set", "analysis:results", "status", "in_progress")["version"]
    assert redis_cli("HGET", P + "state:analysis:results", "status") == "in_progress"
    redis_cli("HSET", P + "state:analysis:results", "file_count", "42")
    assert "in_progress" in shop.refuses(
        "state", "set", "analysis:results", "status", "x", "--if-version", "0"
    )
    second = shop.json("state", "set", "analysis:results", "status", "done", "--if-version", first)[
        "version"
    ]
    assert shop.json("state", "get", "analysis:results", "status") == {
        "field": "status",
        "value": "done",
        "version": second,
    }
    assert redis_cli("HGET", P + "states:versions:analysis:results", "status") == f"{second} done"
    assert shop.run("state", "incr", "analysis:results", "file_count", "--by", "-2").out == "40\n"
    assert [field["value"] for field in shop.json("state", "all", "analysis:results")] == [
        40,
        "done",
    ]
    assert shop.json("state", "list") == ["analysis:results"]
    shop.refuses("state", "delete", "analysis:results", "status", "--if-version", first)
    assert shop.json("state", "delete", "analysis:results", "status")["deleted"] == 1
    shop.refuses("state", "get", "analysis:results", "status")
    assert shop.json("state", "delete", "analysis:results")["deleted"] == 1
    shop.refuses("state", "delete", "analysis:results")


def test_state_wait_and_watch(shop: Shop, redis_cli: RedisCli) -> None:
    """A wait ends once any writer has set the value; a watcher shows each change until Ctrl-C."""
    waiting = started(shop, "state", "wait", "s", "status", "--equals", "completed")
    shop.run("state", "set", "s", "status", "running")
    redis_cli("HSET", P + "state:s", "status", "completed")
    assert waiting.communicate(timeout=30) == (b"completed\n", b"")
    assert "it is completed" in shop.refuses(
        "state", "wait", "s", "status", "--equals", "failed", "--wait", "0.1s"
    )
    watching = started(shop, "state", "watch", "s")
    shop.run("state", "set", "s", "n", "1")
    assert watching.stdout
    assert watching.stdout.readline() == b"n  1\n"
    watching.send_signal(signal.SIGINT)
    assert watching.communicate(timeout=30)[1] == b"octet: interrupted\n"
