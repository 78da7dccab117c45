"""Counters on real servers."""

from __future__ import annotations

import math

import pytest
from tests.support.store_fixtures import woken

from octet.base.errors import NothingThere, StoreSpoiled, UsageError
from octet.client.api import Octet


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
    """A foreign value is reported, and can be set anew."""
    octet.store.client.set(octet.store.keys.counter("c"), "many")
    with pytest.raises(StoreSpoiled, match="many"):
        octet.counter("c").get()
    with pytest.raises(UsageError, match="many"):
        octet.counter("c").incr()
    octet.counter("c").set(1)
    assert octet.counter("c").incr() == 2


@pytest.mark.usefixtures("only_words")
def test_waiting_for_a_count(octet: Octet) -> None:
    """Woken when it is reached, even if reset at once; immediate if reached before."""
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
    """A count by redis-cli sends no notice; the next look finds it."""
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
