"""`octet queue` at the command line."""

from __future__ import annotations

import json
import subprocess

from tests.cli.conftest import RedisCli, Shop, started

P = "workflow:{shop}:"


def test_queue(shop: Shop) -> None:
    """Push, reserve, give back, done; 1 where it is empty, and for a token not in force."""
    assert shop.json("queue", "push", "analysis", "analyze:src/app.ts", '{"file": "b"}', "42") == {
        "queue": "analysis",
        "pushed": 3,
        "ready": 3,
    }
    assert shop.run("queue", "peek", "analysis").out == 'analyze:src/app.ts\n{"file": "b"}\n42\n'
    value, token = shop.run("queue", "reserve", "analysis").out.splitlines()
    assert value == "analyze:src/app.ts"
    assert token.startswith("token ")
    (held,) = shop.json("queue", "held", "analysis")["leased"]
    assert held["worker"] == "person-ann"
    assert (
        shop.json("queue", "extend", "analysis", held["token"], "--lease", "2h")["until_ms"]
        > held["at_ms"]
    )
    assert shop.json("queue", "nack", "analysis", held["token"], "--reason", "later")["returned"]
    again = shop.json("queue", "reserve", "analysis")
    assert (again["value"], again["deliveries"]) == ("analyze:src/app.ts", 2)
    assert "not in force" in shop.refuses("queue", "ack", "analysis", held["token"])
    assert shop.json("queue", "ack", "analysis", again["token"])["left"] == 2
    assert shop.json("queue", "pop", "analysis") == {"queue": "analysis", "value": {"file": "b"}}
    assert shop.run("queue", "len", "analysis").out == "1\n"
    assert shop.json("queue", "pop", "analysis")["value"] == 42
    for command in ("reserve", "pop"):
        assert "has no item" in shop.refuses("queue", command, "analysis")
    assert shop.json("queue", "wait", "analysis", "--wait", "0s")["done"] == 3
    assert [row["queue"] for row in shop.json("queue", "list")] == ["analysis"]
    shop.run("queue", "delete", "analysis")
    shop.refuses("queue", "delete", "analysis")
    assert shop.json("queue", "list") == []


def test_dead_letters(shop: Shop) -> None:
    """They are shown with the reason, and can be tried again."""
    shop.run("queue", "push", "q", "x")
    token = shop.json("queue", "reserve", "q", "--max-deliveries", "1")["token"]
    assert "dead letter" in shop.run("queue", "nack", "q", token, "--reason", "cannot").out
    (dead,) = shop.json("queue", "dead", "q")
    assert (dead["value"], dead["reason"]) == ("x", "cannot")
    assert shop.json("queue", "retry", "q") == {"queue": "q", "revived": 1}
    shop.refuses("queue", "retry", "q")


def test_lines_of_standard_input(shop: Shop) -> None:
    """`git ls-files | octet queue push NAME -`."""
    assert shop.json("queue", "push", "q", "first", "-", stdin="a b.py\n\nc.py\n")["pushed"] == 3
    assert shop.json("queue", "peek", "q") == ["first", "a b.py", "c.py"]
    process = shop.start("queue", "push", "q", "-", stdin=subprocess.PIPE)
    assert process.communicate(b"caf\xe9\n", timeout=30)[1] == b""
    assert process.returncode == 0
    assert shop.octet.queue("q").peek()[-1] == "caf\udce9"
    assert shop.refuses("queue", "push", "q", "-", stdin="\n")


def test_queue_and_redis_cli(shop: Shop, redis_cli: RedisCli) -> None:
    """LPUSH and RPOP work on the same queue, both ways, in one order."""
    redis_cli("LPUSH", P + "queue:q", "analyze:src/app.ts", '{"a": [1]}')
    shop.run("queue", "push", "q", "mine", "7")
    assert redis_cli("LLEN", P + "queue:q") == "4"
    assert shop.json("queue", "reserve", "q")["value"] == "analyze:src/app.ts"
    assert redis_cli("RPOP", P + "queue:q") == '{"a": [1]}'
    assert redis_cli("RPOP", P + "queue:q") == "mine"
    assert shop.json("queue", "pop", "q")["value"] == 7
    assert int(redis_cli("TTL", P + "queues:leased:q")) > 80_000


def test_a_reserve_that_waits(shop: Shop, redis_cli: RedisCli) -> None:
    """It is woken by a push, and finds what redis-cli pushed soon after."""
    for push in (
        lambda: shop.run("queue", "push", "q", "a"),
        lambda: redis_cli("LPUSH", P + "queue:q", "a"),
    ):
        process = started(shop, "queue", "reserve", "q", "--wait", "1m", "--json")
        push()
        out, err = process.communicate(timeout=30)
        assert (json.loads(out)["value"], err) == ("a", b"")
    assert "within 0.1 s" in shop.refuses("queue", "reserve", "q", "--wait", "0.1s")
