"""`octet counter` at the command line."""

from __future__ import annotations

from tests.cli.conftest import RedisCli, Shop, started

P = "workflow:{shop}:"


def test_counter(shop: Shop, redis_cli: RedisCli) -> None:
    """The guide's counter: counted by both, waited for without asking again and again."""
    waiting = started(shop, "counter", "wait", "files:processed", "--until", "3")
    assert shop.run("counter", "incr", "files:processed").out == "1\n"
    assert redis_cli("INCR", P + "counter:files:processed") == "2"
    assert waiting.poll() is None
    assert shop.json("counter", "incr", "files:processed") == {
        "counter": "files:processed",
        "value": 3,
    }
    assert waiting.communicate(timeout=30) == (b"3\n", b"")
    assert shop.run("counter", "decr", "files:processed", "--by", "5").out == "-2\n"
    shop.run("counter", "set", "files:processed", "-7")
    assert shop.json("counter", "list") == [{"counter": "files:processed", "value": -7}]
    assert "it is -7" in shop.refuses(
        "counter", "wait", "files:processed", "--until", "1", "--wait", "0s"
    )
    shop.run("counter", "reset", "files:processed")
    assert shop.run("counter", "get", "files:processed").out == "0\n"
    shop.run("counter", "delete", "files:processed")
    shop.refuses("counter", "delete", "files:processed")
