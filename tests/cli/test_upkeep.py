"""`octet gc`, `keys`, `redis monitor`, `redis slowlog` and what `octet doctor` says of keys without
an end.
"""

from __future__ import annotations

import json
from typing import Any

from tests.cli.conftest import Shop
from tests.support.redis_fixtures import wait_for
from tests.support.store_fixtures import join, snapshot

from octet.client.api import Octet
from octet.patterns.inventory import Primitive, delete_unused, list_primitives
from octet.store.connection import open_client


def fill(space: Any) -> None:
    """Something of every kind."""
    space.queue("q").push(1, 2)
    space.queue("q").reserve()
    space.state("s").set("a", 1)
    space.counter("c").incr()
    space.kv.put("k", 1)
    space.map("m").start(["a", "b"])
    space.map("m").fail(space.map("m").take(), "no")
    space.pipeline("p").start("one")
    space.errors("e").add("x")
    space.progress("x").set(1, total=2)


def crew(octet: Octet) -> None:
    agent = join(octet)
    octet.tasks.add("a task", task_id="t")
    octet.tasks.claim(agent)
    octet.locks.acquire(agent, ["name:x"])


def test_gc_of_a_run_touches_nothing_else(shop: Shop) -> None:
    """Another run, the project's own things, tasks, agents and locks stay byte for byte; --dry-run
    deletes nothing.
    """
    crew(shop.octet)
    fill(shop.octet)
    fill(shop.octet.run("r10"))
    before = snapshot(shop.octet.store.client)
    fill(shop.octet.run("r1"))
    whole = snapshot(shop.octet.store.client)
    shown = shop.json("gc", "--run", "r1", "--dry-run")
    kinds = {"queue", "state", "counter", "kv", "map", "pipeline", "error", "progress"}
    assert {thing["kind"] for thing in shown["things"]} == kinds
    assert {thing["run"] for thing in shown["things"]} == {"r1"}
    assert snapshot(shop.octet.store.client) == whole
    assert len(shop.json("gc", "--run", "r1")["things"]) == len(shown["things"])
    now = snapshot(shop.octet.store.client)
    token = shop.octet.store.keys.token
    assert {key: value for key, value in now.items() if key != token} == {
        key: value for key, value in before.items() if key != token
    }
    assert shop.run("gc", "--run", "r1").out == "0 deleted\n"


def test_gc_by_age_touches_only_what_nobody_used(shop: Shop) -> None:
    """An unused thing goes as a whole, one that was just read stays, and so does the crew's."""
    crew(shop.octet)
    fill(shop.octet)
    fill(shop.octet.run("r"))
    assert shop.json("gc", "--older-than", "1h")["things"] == []
    assert len(shop.json("gc", "--older-than", "0s", "--dry-run")["things"]) == 18
    assert {t["run"] for t in shop.json("gc", "--older-than", "0s", "--run", "r")["things"]} == {
        "r"
    }
    assert len(shop.json("gc", "--older-than", "0s")["things"]) == 9
    assert list_primitives(shop.octet.store) == []
    assert shop.octet.tasks.get("t").state == "claimed"
    assert [lock.resource for lock in shop.octet.locks.list()] == ["name:x"]
    shop.refuses("gc", code=2)
    shop.refuses("gc", "--run", "a:b", code=2)


def test_a_map_goes_with_its_queue(shop: Shop) -> None:
    """Its results are not left without the items, or the other way round."""
    shop.octet.map("m").start(["a"])
    [thing] = list_primitives(shop.octet.store)
    assert (thing.kind, thing.name, (thing.idle_s or 0) < 5) == ("map", "m", True)
    assert not delete_unused(shop.octet.store, thing, 60)
    assert delete_unused(shop.octet.store, thing, 0)
    assert shop.octet.store.client.keys("*:m*") == []


def test_what_is_used_meanwhile_stays(shop: Shop) -> None:
    """A key written to between the look and the deletion is left alone."""
    shop.octet.counter("c").incr()
    key = shop.octet.store.keys.counter("c")
    real = shop.octet.store.client.pipeline

    def pipeline(**options: Any) -> Any:
        pipe = real(**options)
        multi = pipe.multi
        pipe.multi = lambda: (shop.octet.counter("c").incr(), multi())
        return pipe

    shop.octet.store.client.pipeline = pipeline
    assert not delete_unused(shop.octet.store, Primitive("counter", "c", "", (key,)), 0)
    assert shop.octet.counter("c").get() == 2


def test_gc_says_where_age_is_not_known(shop: Shop) -> None:
    """A server that evicts by how often a key is used cannot say for how long it was not."""
    client = shop.octet.store.client
    shop.octet.counter("c").incr()
    client.config_set("maxmemory-policy", "allkeys-lfu")
    try:
        assert "LFU" in shop.refuses("gc", "--older-than", "1h")
        shop.octet.run("r").counter("c").incr()
        assert len(shop.json("gc", "--run", "r")["things"]) == 1
        assert '"own keys", "ok": true' in doctor(shop)
    finally:
        client.config_set("maxmemory-policy", "noeviction")


def test_keys(shop: Shop) -> None:
    """By kind, and one by one: type, time to live, size; nothing of another project."""
    crew(shop.octet)
    fill(shop.octet.run("r"))
    shop.octet.store.client.set("workflow:{other}:counter:c", 1)
    rows = {row["kind"]: row for row in shop.json("keys")}
    assert (rows["queue"]["keys"], rows["queue"]["types"], rows["queue"]["endless"]) == (
        8,
        "hash list zset",
        0,
    )
    assert rows["tasks"]["endless"] == rows["tasks"]["keys"] > 0
    [key] = shop.json("keys", "run:r:counter:")
    assert (key["name"], key["kind"], key["run"], key["type"]) == (
        "run:r:counter:c",
        "counter",
        "r",
        "string",
    )
    assert 0 < key["ttl_ms"] <= 86_400_000
    assert key["bytes"] > 0
    assert len(shop.json("keys", "", "-n", "3")) == 3
    assert "queue" in shop.run("keys").out
    assert shop.run("keys", "nothing").out == "no such keys\n"


def test_doctor_reports_keys_without_an_end(shop: Shop) -> None:
    """What redis-cli made and no command of Octet has used since is named."""

    def said() -> str:
        shop._monkeypatch.setenv("OCTET_DAEMON", "never")
        ran = [finding for finding in json.loads(doctor(shop)) if finding["subject"] == "own keys"]
        return str(ran[0]["detail"])

    shop.octet.queue("mine").push(1)
    assert said() == "each has a time to live"
    shop.octet.store.client.lpush("workflow:{shop}:queue:raw", "x")
    shop.octet.store.client.set("workflow:{shop}:run:r:counter:c", "1")
    assert said().startswith("2 without a time to live: queue raw, counter c of run r; ")


def doctor(shop: Shop) -> str:
    process = shop.start("doctor", "--json")
    return process.communicate(timeout=30)[0].decode()


def test_monitor_shows_this_project_in_our_words(shop: Shop) -> None:
    """Scripts by name, keys without prefix, no other project; it ends by itself."""
    for warm in (
        shop.octet.queue("warm").push,
        shop.octet.counter("warm").incr,
    ):  # the server knows the scripts now
        warm(1)
    process = shop.start("redis", "monitor", "--for", "30s", "-n", "3", "--json")
    client = shop.octet.store.client
    wait_for(lambda: any(found["cmd"] == "monitor" for found in client.client_list()), "it watches")
    client.set("workflow:{other}:counter:c", "secret")
    shop.octet.queue("analysis").push('say "hi" \\ größer\n')
    client.lpush("workflow:{shop}:queue:raw", "x")
    client.get("unrelated")
    with (
        open_client(f"unix://{client.connection_pool.connection_kwargs['path']}") as other,
        Octet(other, "shop") as octet,
    ):
        octet.counter("c").incr(5)
    out, err = process.communicate(timeout=20)
    texts = [json.loads(line)["text"] for line in out.decode().splitlines()]
    assert (process.returncode, err) == (0, b"")
    assert texts[0] == 'queue/push queue:analysis -86400000 say "hi" \\ größer '
    assert texts[1:] == ["LPUSH queue:raw x", "counter/add counter:c -86400000 5"]


def test_slowlog(shop: Shop) -> None:
    """The project's slow commands, in our words."""
    client = shop.octet.store.client
    client.config_set("slowlog-log-slower-than", 0)
    client.slowlog_reset()
    try:
        shop.octet.counter("c").incr()
        client.set("other", 1)
        found = [row["text"] for row in shop.json("redis", "slowlog")]
    finally:
        client.config_set("slowlog-log-slower-than", 10_000)
        client.slowlog_reset()
    assert "counter/add counter:c -86400000 1" in found
    assert not any("other" in text for text in found)
    assert shop.run("redis", "slowlog").out == "nothing was slow\n"


def test_who_may_not_is_told(shop: Shop) -> None:
    """Without the right to watch: one line, exit code 1."""
    client = shop.octet.store.client
    client.execute_command(
        "ACL", "SETUSER", "weak", "on", ">pw", "~*", "&*", "+@all", "-@dangerous"
    )
    url = f"unix://weak:pw@{client.connection_pool.connection_kwargs['path']}"
    try:
        assert "MONITOR" in shop.refuses("redis", "monitor", OCTET_REDIS_URL=url)
        assert "SLOWLOG" in shop.refuses("redis", "slowlog", OCTET_REDIS_URL=url)
    finally:
        client.execute_command("ACL", "DELUSER", "weak")
