"""Counters, messages under keys and runs on real servers."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.redis_fixtures import wait_for
from tests.support.store_fixtures import looks

from octet.base.errors import NothingThere, StoreSpoiled, UsageError
from octet.client.api import Octet
from octet.patterns.runs import run_names


def woken(octet: Octet, call: Callable[[], Any], act: Callable[[], Any]) -> Any:
    """What `call` answers after `act`, which comes when it waits."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    before = looks(octet.store.client)
    thread.start()
    wait_for(
        lambda: looks(octet.store.client) > before and octet.store.client.pubsub_channels() != [],
        "it waits",
    )
    act()
    thread.join(30)
    return answers[0]


def test_counting(octet: Octet) -> None:
    """Counts are exact to 64 bits, and redis-cli counts the same number."""
    counter = octet.counter("files:processed")
    assert [counter.get(), counter.incr(), counter.incr(2), counter.decr()] == [0, 1, 3, 2]
    assert octet.store.client.incr("workflow:{p}:counter:files:processed") == 3
    counter.set(2**63 - 1)
    with pytest.raises(UsageError):
        counter.incr()
    assert counter.get() == 2**63 - 1
    counter.reset()
    assert (counter.get(), counter.delete(), counter.delete()) == (0, True, False)


def test_a_counter_that_is_no_number(octet: Octet) -> None:
    """What somebody else put there is said, and can be set anew."""
    octet.store.client.set(octet.store.keys.counter("c"), "many")
    with pytest.raises(StoreSpoiled, match="many"):
        octet.counter("c").get()
    with pytest.raises(UsageError, match="many"):
        octet.counter("c").incr()
    octet.counter("c").set(1)
    assert octet.counter("c").incr() == 2


@pytest.mark.usefixtures("only_words")
def test_waiting_for_a_count(octet: Octet) -> None:
    """Woken when it is reached, also where it is reset at once; at once where it was reached
    before.
    """
    counter = octet.counter("c")

    def reach() -> None:
        counter.incr()
        counter.incr(2)
        counter.reset()

    found = woken(octet, lambda: counter.wait(3, wait_s=60), reach)
    assert found == 3
    counter.set(5)
    assert counter.wait(3, wait_s=0) == 5
    with pytest.raises(NothingThere, match="it is 5"):
        counter.wait(6, wait_s=0.1)


def test_waiting_sees_a_plain_incr(octet: Octet) -> None:
    """What redis-cli counted told nobody; the next look finds it."""
    found = woken(
        octet,
        lambda: octet.counter("c").wait(1, wait_s=30),
        lambda: octet.store.client.incr(octet.store.keys.counter("c")),
    )
    assert found == 1


def test_time_to_live_of_a_counter(octet: Octet) -> None:
    """A day after its last use, as long as was said, for ever only when that was said or redis-cli
    made it.
    """
    client, key = octet.store.client, octet.store.keys.counter
    octet.counter("day").incr()
    octet.counter("short", ttl_s=60).incr()
    octet.counter("kept", ttl_s=math.inf).incr()
    octet.counter("kept").incr()
    client.incr(key("raw"))
    octet.counter("raw").incr()
    assert 86_000_000 < client.pttl(key("day")) <= 86_400_000
    assert 0 < client.pttl(key("short")) <= 60_000
    assert client.pttl(key("kept")) == client.pttl(key("raw")) == -1
    octet.counter("raw", ttl_s=60).incr()
    assert 0 < client.pttl(key("raw")) <= 60_000


def test_put_get_take(octet: Octet) -> None:
    """A value stays until it is taken; of many that take it one gets it."""
    kv, client = octet.kv, octet.store.client
    assert kv.put("agent:search:results", {"files": ["a.ts", "b.ts"]}, ttl_s=3600)
    assert not kv.put("agent:search:results", 1, new=True)
    assert kv.get("agent:search:results") == {"files": ["a.ts", "b.ts"]}
    taken: list[Any] = []
    threads = [
        threading.Thread(target=lambda: taken.append(kv.take("agent:search:results")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [value for value in taken if value is not None] == [{"files": ["a.ts", "b.ts"]}]
    client.set("workflow:{p}:kv:by-hand", "text", ex=60)
    assert [(m.key, m.value) for m in kv.list()] == [("by-hand", "text")]
    assert kv.list("by-*") == kv.list("x") == []
    assert kv.delete("by-hand", "nothing") == 1


@pytest.mark.usefixtures("only_words")
def test_waiting_for_a_value(octet: Octet) -> None:
    """Woken when it is put; null is a value too."""
    found = woken(
        octet, lambda: octet.kv.wait("k", wait_s=60, take=True), lambda: octet.kv.put("k", None)
    )
    assert found is None
    with pytest.raises(NothingThere):
        octet.kv.wait("k", wait_s=0.1)


def test_time_to_live_of_a_value(octet: Octet) -> None:
    """A day, what was said, or for ever when that was said; put again counts anew."""
    client, key = octet.store.client, octet.store.keys.kv
    octet.kv.put("kept", 1, ttl_s=math.inf)
    assert client.pttl(key("kept")) == -1
    octet.kv.put("kept", 1)
    assert 86_000_000 < client.pttl(key("kept")) <= 86_400_000
    octet.kv.put("kept", 1, ttl_s=1)
    assert 0 < client.pttl(key("kept")) <= 1000
    assert octet.kv.list()[0].ttl_ms <= 1000


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
    assert run_names(octet.store) == ["r", "r.2", "r2"]
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
