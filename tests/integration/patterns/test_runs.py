"""Runs, and how long what is in them lives, on real servers."""

from __future__ import annotations

import math

import pytest

from octet.base.errors import UsageError
from octet.client.api import Octet


def test_runs_are_apart(octet: Octet) -> None:
    """A run sees and clears its own alone, also one whose name begins like another's; a thousand
    keys and more.
    """
    spaces = [octet, octet.run("r"), octet.run("r2"), octet.run("r.2")]
    for number, space in enumerate(spaces):
        space.queue("q").push(number)
        space.state("s").set("n", number)
        space.counter("c").set(number)
        space.kv.put("k", number)
    octet.run("r").queue("q").reserve()
    pipe = octet.store.client.pipeline(transaction=False)
    for number in range(2500):
        pipe.set(f"workflow:{{p}}:run:r:kv:{number}", number)
    pipe.set("workflow:{p2}:run:r:kv:x", 1)
    pipe.execute()
    assert octet.run("r").clear() == 2500 + 7
    assert list(octet.run("r").keys()) == []
    assert octet.store.client.get("workflow:{p2}:run:r:kv:x") == "1"
    for number, space in enumerate(spaces):
        found = (
            space.queue("q").peek(),
            space.state("s").all(),
            space.counter("c").get(),
            space.kv.get("k"),
        )
        assert found == (
            ([number], {"n": number}, number, number) if number != 1 else ([], {}, 0, None)
        )
        assert [space.names(kind) for kind in ("queue", "state", "counter", "kv")] == (
            [["q"], ["s"], ["c"], ["k"]] if number != 1 else [[]] * 4
        )


@pytest.mark.parametrize("name", ["", "a:b", "*", "a b", "{x}", "-a", "a" * 65])
def test_runs_that_cannot_be(octet: Octet, name: str) -> None:
    """A run's name cannot reach into another run."""
    with pytest.raises(UsageError):
        octet.run(name)


def test_time_to_live(octet: Octet) -> None:
    """A day at least by default, as long as asked for otherwise; whatever is used together lives on
    together.
    """
    client = octet.store.client
    octet.map("m", ttl_s=60).start(["a"])
    octet.map("m", ttl_s=60).fail(octet.map("m", ttl_s=60).take(lease_s=1), "no")
    octet.pipeline("p", ttl_s=60).start("one")
    octet.progress("x", ttl_s=60).set(1)
    assert all(
        0 < client.pttl(key) <= 61_000
        for key in client.scan_iter("workflow:*")
        if not key.endswith(":token")
    )
    octet.map("m").start(["b"])
    octet.errors("m").add("x")
    octet.pipeline("p").begin()
    octet.progress("x").add()
    assert all(
        client.pttl(key) > 86_000_000
        for key in client.scan_iter("workflow:*")
        if not key.endswith(":token")
    )
    octet.errors("m", ttl_s=math.inf).add("x")
    assert client.pttl("workflow:{p}:error:m") == -1
