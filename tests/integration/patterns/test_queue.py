"""Work queues on real servers: one worker at a time, nothing lost, woken without asking."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.redis_fixtures import wait_for
from tests.support.store_fixtures import looks

from octet.base.errors import NothingThere, StaleToken, UsageError
from octet.client.api import Octet
from octet.patterns.queue import LEASE_S, Item, Queue


@pytest.fixture
def queue(octet: Octet) -> Queue:
    return octet.queue("analysis")


def lapse(octet: Octet, item: Item) -> None:
    """Let the item's lease have run out."""
    assert octet.store.client.zadd(
        octet.store.keys.queue_leased(item.queue), {item.token: 1}, xx=True, ch=True
    )


def began(octet: Octet, call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """`call` in a thread that waits on a channel by now, and where its answer will be."""
    answers: list[Any] = []

    def work() -> None:
        try:
            answers.append(call())
        except NothingThere as error:
            answers.append(error)

    thread = threading.Thread(target=work)
    before = looks(octet.store.client)
    thread.start()
    wait_for(
        lambda: looks(octet.store.client) > before and octet.store.client.pubsub_channels() != [],
        "it waits",
    )
    return thread, answers


def test_first_in_first_out(queue: Queue) -> None:
    """Items come in the order in which they were pushed, and are gone when they are done."""
    assert queue.push("a", {"b": [1]}, "3") == 3
    items = [queue.reserve() for _ in range(3)]
    assert [item.value for item in items] == ["a", {"b": [1]}, "3"]
    with pytest.raises(NothingThere):
        queue.reserve()
    assert [queue.ack(item) for item in items] == [2, 1, 0]
    assert (queue.stats().left, queue.stats().done, queue.stats().pushed) == (0, 3, 3)


def test_a_worker_that_died_gives_back(octet: Octet, queue: Queue) -> None:
    """After its lease another has the item under a greater token; the first has no effect."""
    queue.push("a")
    first = queue.reserve(worker="one")
    assert [kept.worker for kept in queue.leased()] == ["one"]
    lapse(octet, first)
    assert queue.stats().expired == queue.stats().waiting == 1
    second = queue.reserve(worker="two")
    assert (second.value, second.deliveries) == ("a", 2)
    assert int(second.token) > int(first.token)
    for call in (queue.ack, queue.nack, queue.extend):
        with pytest.raises(StaleToken):
            call(first)
    assert [kept.worker for kept in queue.leased()] == ["two"]
    queue.ack(second)
    with pytest.raises(StaleToken):
        queue.ack(second)


def test_a_late_worker_that_nobody_replaced(octet: Octet, queue: Queue) -> None:
    """A lease that has run out counts until another worker has the item."""
    queue.push("a", "b")
    late, later = queue.reserve(), queue.reserve()
    lapse(octet, late)
    lapse(octet, later)
    queue.ack(late)
    assert queue.extend(later) > octet.now_ms()
    with pytest.raises(NothingThere):
        queue.reserve()


def test_dead_letters(octet: Octet, queue: Queue) -> None:
    """After its last delivery an item is a dead letter, by nack at once, by a lease at the next
    reserve; and can be pushed again.
    """
    queue.push("poison", "crash")
    assert not queue.nack(queue.reserve(max_deliveries=1), reason="cannot\nread it")
    lapse(octet, queue.reserve(max_deliveries=1))
    with pytest.raises(NothingThere):
        queue.reserve()
    assert [(kept.value, kept.reason) for kept in queue.dead()] == [
        ("poison", "cannot read it"),
        ("crash", "its lease ran out"),
    ]
    assert queue.stats().left == 0
    assert queue.revive([queue.dead()[1].token, "999"]) == 1
    assert queue.revive() == 1
    assert [queue.reserve().value, queue.reserve().deliveries] == ["crash", 1]


@pytest.mark.usefixtures("only_words")
def test_a_delay(queue: Queue) -> None:
    """An item given back with a delay comes after it; a waiting worker needs no notice."""
    queue.push("a")
    queue.nack(queue.reserve(), delay_s=0.3)
    with pytest.raises(NothingThere):
        queue.reserve()
    assert [kept.value for kept in queue.returned()] == ["a"]
    assert queue.reserve(wait_s=20).deliveries == 2


@pytest.mark.usefixtures("only_words")
def test_waiting_is_woken(octet: Octet, queue: Queue) -> None:
    """A push is seen at once, not at the next look."""
    thread, answers = began(octet, lambda: queue.reserve(wait_s=60))
    queue.push("a")
    thread.join(30)
    assert answers[0].value == "a"


def test_waiting_ends(queue: Queue) -> None:
    """When the time is over, not before."""
    start = time.monotonic()
    with pytest.raises(NothingThere, match=r"0\.2 s"):
        queue.reserve(wait_s=0.2)
    assert 0.2 <= time.monotonic() - start < 10


def test_waiting_sees_a_plain_lpush(octet: Octet, queue: Queue) -> None:
    """A push by redis-cli sends no notice; the next look finds it."""
    thread, answers = began(octet, lambda: queue.reserve(wait_s=30))
    octet.store.client.lpush("workflow:{p}:queue:analysis", "analyze:src/app.ts")
    thread.join(30)
    assert answers[0].value == "analyze:src/app.ts"


@pytest.mark.usefixtures("only_words")
@pytest.mark.parametrize("end", ["ack", "pop", "dead"])
def test_drained(octet: Octet, queue: Queue, end: str) -> None:
    """The waiter is told when the last item is done, taken or dead; an empty queue is the end."""
    queue.wait_drained(0)
    queue.push("a")
    with pytest.raises(NothingThere, match="1 items left"):
        queue.wait_drained(0)
    thread, answers = began(octet, lambda: queue.wait_drained(60))
    if end == "pop":
        assert queue.pop() == "a"
    elif end == "ack":
        queue.ack(queue.reserve())
    else:
        queue.nack(queue.reserve(), dead=True)
    thread.join(30)
    assert answers == [None]


def test_empty_queues_keep_nobody_awake(octet: Octet, queue: Queue) -> None:
    """Two that wait at an empty queue do not wake each other."""
    waiters = [began(octet, lambda: queue.reserve(wait_s=1.5)) for _ in range(2)]
    before = octet.store.client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
    for thread, answers in waiters:
        thread.join(30)
        assert isinstance(answers[0], NothingThere)
    assert octet.store.client.info("commandstats")["cmdstat_evalsha"]["calls"] - before < 10


def test_time_to_live(octet: Octet) -> None:
    """Everything of a queue lives for a day after its last use, for as long as was said, or for
    ever only when that was said.
    """
    client, keys = octet.store.client, octet.store.keys
    client.lpush(keys.queue("raw"), "a", "b")
    octet.queue("raw").nack(octet.queue("raw").reserve())
    octet.queue("raw").reserve()
    octet.queue("short", ttl_s=60).push(1, 2)
    octet.queue("kept", ttl_s=math.inf).push(1, 2)
    octet.queue("kept").reserve()
    day_ms, lease_ms = 86_400_000, LEASE_S * 1000
    for name, least, most in (
        ("raw", day_ms - 60_000, day_ms + 2 * lease_ms),
        ("short", 1, 60_000),
        ("kept", -1, -1),
    ):
        found = [key for key in client.scan_iter() if key.endswith(f":{name}")]
        assert len(found) >= 2
        assert all(least <= client.pttl(key) <= most for key in found), name


def test_working(octet: Octet, queue: Queue) -> None:
    """A block of work renews its lease, is done at its end, and gives back when it fails."""
    queue.push("a")
    with pytest.raises(ZeroDivisionError), queue.working(lease_s=0.2):
        raise ZeroDivisionError("no")
    assert [kept.reason for kept in queue.returned()] == ["ZeroDivisionError: no"]
    with queue.working(lease_s=0.2) as item:
        until = queue.leased()[0].at_ms
        wait_for(lambda: queue.leased()[0].at_ms > until + 200, "the lease is renewed")
        assert item.deliveries == 2
    assert queue.stats().left == 0
    queue.push("b")
    with pytest.raises(StaleToken):
        lose(octet, queue)


def lose(octet: Octet, queue: Queue) -> None:
    """Work for so long that another worker has the item."""
    with queue.working() as item:
        lapse(octet, item)
        queue.reserve()


def test_what_makes_no_sense(queue: Queue) -> None:
    """Refused, and nothing is there."""
    for call in (
        lambda: queue.push(),
        lambda: queue.push("good", {1, 2}),
        lambda: queue.push(*["x" * 65_000] * 300),
        lambda: queue.reserve(lease_s=0),
        lambda: queue.reserve(worker="a b"),
        lambda: queue.reserve(max_deliveries=0),
    ):
        with pytest.raises(UsageError):
            call()
    assert queue.stats().ready == 0
    assert not queue.delete()


def test_delete(queue: Queue) -> None:
    """Nothing of it is left."""
    queue.push(1, 2, 3)
    queue.nack(queue.reserve())
    queue.reserve()
    assert queue.delete()
    assert (queue.stats().left, queue.stats().pushed, queue.leased()) == (0, 0, [])
