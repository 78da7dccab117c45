"""`octet queue`, `state`, `counter`, `kv` and the replay of events, beside the real redis-cli."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Shop
from tests.support.redis_fixtures import Server, wait_for

P = "workflow:{shop}:"
RedisCli = Callable[..., str]


@pytest.fixture
def redis_cli(
    require_program: Callable[[str], Path], redis_servers: Callable[[str], Server]
) -> RedisCli:
    """The real redis-cli: its output without the last line end."""
    program, socket = require_program("redis-cli"), str(redis_servers("redis").socket)

    def call(*words: str) -> str:
        return subprocess.run(
            [program, "-s", socket, *words], capture_output=True, text=True, check=True, timeout=30
        ).stdout.rstrip("\n")

    return call


def started(shop: Shop, *words: str, **options: Any) -> subprocess.Popen[bytes]:
    """The command, which waits by now."""
    process = shop.start(*words, **options)
    client = shop.octet.store.client
    wait_for(lambda: len(client.pubsub_channels()) + client.pubsub_numpat() > 0, "it waits")
    return process


def test_queue(shop: Shop) -> None:
    """Push, reserve, give back, done; 1 where there is nothing, and for a token that is not in
    force.
    """
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
    """A wait ends when the value is there, by whomever; a watcher shows each change until Ctrl-C."""
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


def test_runs(shop: Shop) -> None:
    """A run, by option or by environment, is apart from the project and from other runs."""
    shop.run("counter", "incr", "c")
    shop.run("counter", "incr", "c", "--run", "r1")
    assert shop.run("counter", "incr", "c", OCTET_RUN="r1").out == "2\n"
    assert [
        shop.run("counter", "get", "c", *run).out for run in ([], ["--run", "r1"], ["--run", "r2"])
    ] == ["1\n", "2\n", "0\n"]
    assert shop.octet.store.client.get(P + "run:r1:counter:c") == "2"
    shop.refuses("counter", "incr", "c", "--run", "a:b", code=2)


@pytest.mark.parametrize(
    "words",
    [
        ["queue", "push", "q", '{"a": 1'],
        ["queue", "push", "q", "[" * 50_000],
        ["queue", "push", "q", "x" * 65_537],
        ["queue", "push", "a b", "x"],
        ["queue", "nack", "q", "1", "--delay", "soon"],
        ["state", "set", "s", "", "1"],
        ["state", "set", "s", "f", "1", "--if-version", "x"],
        ["state", "delete", "s", "--if-version", "1"],
        ["counter", "incr", "c", "--by", "9223372036854775808"],
        ["counter", "set", "c", "many"],
        ["kv", "put", "k", '"half'],
        ["kv", "put", "k", "1", "--ttl", "0s"],
        ["event", "log", "--since", "yesterday"],
        ["event", "watch", "--since", "1-99999999999999999999"],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_what_makes_no_sense(shop: Shop, words: list[str]) -> None:
    """2, and nothing is there."""
    assert "Traceback" not in shop.run(*words, code=2).err
    assert shop.octet.store.client.dbsize() == 0


def test_text_as_it_is(shop: Shop) -> None:
    """With --text a value that looks like JSON, or half of it, is a text."""
    shop.run("queue", "push", "q", "{", "42", "--text")
    assert shop.json("queue", "peek", "q") == ["{", "42"]


def test_replay_of_events(shop: Shop) -> None:
    """The log since an event or a time, of one type; and a watcher that begins there and goes on."""
    for number in range(3):
        shop.octet.events.publish("note", {"n": number})
        shop.octet.events.publish("other")
    events = shop.json("event", "log", "--since", "10m")
    assert len(events) == 6
    assert shop.json("event", "log", "--since", events[1]["id"]) == events[2:]
    assert shop.json("event", "log", "--since", "2020-01-01T00:00:00Z", "note", "-n", "2") == [
        events[2],
        events[4],
    ]
    assert shop.json("event", "log", "note") == [events[0], events[2], events[4]]
    assert shop.json("event", "log", "--since", "0s") == []
    watching = started(shop, "event", "watch", "note", "--since", events[0]["id"], "--json")
    shop.octet.events.publish("note", {"n": 3})
    assert watching.stdout
    assert [json.loads(watching.stdout.readline())["n"] for _ in range(3)] == [1, 2, 3]
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=30)


def test_hostile_values(shop: Shop) -> None:
    """What others pushed cannot move the cursor."""
    evil = "\x1b[2J\u202ex"
    shop.octet.queue("q").push(evil)
    shop.octet.state("s").set("f", evil)
    shop.octet.kv.put("k", evil)
    for words in (
        ["queue", "peek", "q"],
        ["queue", "reserve", "q"],
        ["queue", "held", "q"],
        ["state", "get", "s", "f"],
        ["kv", "list"],
    ):
        assert not set(shop.run(*words).out) & {"\x1b", "\u202e"}
