"""`octet kv` at the command line."""

from __future__ import annotations

from tests.cli.conftest import RedisCli, Shop, started

P = "workflow:{shop}:"


def test_kv(shop: Shop, redis_cli: RedisCli) -> None:
    """The guide's message: left for an hour by one, taken by another, by redis-cli too."""
    shop.run("kv", "put", "agent:search:results", '{"files": ["a.ts", "b.ts"]}', "--ttl", "1h")
    assert redis_cli("GET", P + "kv:agent:search:results") == '{"files": ["a.ts", "b.ts"]}'
    assert 3500 < int(redis_cli("TTL", P + "kv:agent:search:results")) <= 3600
    assert "already" in shop.refuses("kv", "put", "agent:search:results", "1", "--new")
    assert shop.json("kv", "get", "agent:search:results")["value"] == {"files": ["a.ts", "b.ts"]}
    assert shop.json("kv", "take", "agent:search:results")["value"] == {"files": ["a.ts", "b.ts"]}
    shop.refuses("kv", "take", "agent:search:results")
    shop.refuses("kv", "get", "agent:search:results")
    redis_cli("SETEX", P + "kv:k", "60", "text")
    shop.run("kv", "put", "kept", "null", "--ttl", "never")
    assert [(row["key"], row["value"], row["ttl_ms"] > 0) for row in shop.json("kv", "list")] == [
        ("k", "text", True),
        ("kept", None, False),
    ]
    assert shop.json("kv", "delete", "k", "nothing")["deleted"] == 1
    waiting = started(shop, "kv", "wait", "k", "--take")
    shop.run("kv", "put", "k", "here")
    assert waiting.communicate(timeout=30) == (b"here\n", b"")
    shop.refuses("kv", "delete", "k")
