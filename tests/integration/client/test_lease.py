"""A lock for a block of code, waits that are awaited, and the log that is followed."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.redis_fixtures import wait_for
from tests.support.store_fixtures import join

import octet as package
from octet.base.errors import LockHeld, NothingThere, UsageError
from octet.client.api import Octet
from octet.client.lease import Lease, LeaseLost


def listeners(octet: Octet) -> int:
    return len(octet.store.client.pubsub_channels()) + int(octet.store.client.pubsub_numpat())


def test_threads_exclude_each_other(octet: Octet) -> None:
    """Of ten threads that add without any other care none loses an addition, and nobody is left on
    the registry.
    """
    key = "workflow:{p}:counter:c"

    def add() -> None:
        with octet.lock("name:c", wait_s=60):
            value = int(octet.store.client.get(key) or 0)
            octet.store.client.set(key, value + 1)

    threads = [threading.Thread(target=add) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert octet.counter("c").get() == 10
    assert (octet.locks.list(), octet.agents.list()) == ([], [])


def test_a_lock_that_is_not_had(octet: Octet) -> None:
    """The holder is named when the time is over, and nothing is left behind."""
    with octet.lock("name:x") as lease:
        (holder,) = octet.agents.list()
        assert octet.locks.get("name:x").token == lease.token
        for wait_s in (0, 0.2):
            with pytest.raises(LockHeld, match=holder.id), octet.lock("name:x", wait_s=wait_s):
                raise AssertionError
        assert octet.agents.list() == [holder]
    assert octet.agents.list() == []
    with pytest.raises(UsageError), octet.lock("nonsense"):
        raise AssertionError
    assert octet.agents.list() == []


def test_a_lock_is_freed_by_an_error(octet: Octet) -> None:
    """The block's own error is the one that is raised."""
    with pytest.raises(ZeroDivisionError), octet.lock("name:x"):
        raise ZeroDivisionError
    assert octet.locks.list() == []


def test_awaited_waits(octet: Octet) -> None:
    """Waits of every kind are awaited together, in one loop, more of them than its pool of threads
    holds.
    """
    drained = octet.queue("drained")
    drained.push("a")

    async def wait() -> list[Any]:
        waits: list[Any] = [octet.counter("c").wait_async(1, wait_s=30) for _ in range(40)]
        waits += [octet.queue("q").reserve_async(wait_s=30), drained.wait_drained_async(30)]
        waits += [
            octet.state("s").wait_async("f", wait_s=30),
            octet.kv.wait_async("k", wait_s=30, take=True),
        ]
        tasks = [asyncio.ensure_future(each) for each in waits]
        await asyncio.to_thread(wait_for, lambda: listeners(octet) == 5, "all wait")
        for act in (
            octet.counter("c").incr,
            drained.pop,
            lambda: octet.state("s").set("f", 1),
            lambda: octet.kv.put("k", [1]),
        ):
            await asyncio.to_thread(act)
        octet.queue("q").push("b")
        return list(await asyncio.gather(*tasks))

    found = asyncio.run(asyncio.wait_for(wait(), 60))
    assert found[:40] == [1] * 40
    assert (found[40].value, found[41], found[42].value, found[43]) == ("b", None, 1, [1])


def test_a_cancelled_wait_takes_nothing(octet: Octet) -> None:
    """An item or a value that comes just then goes back; an error is raised where it is awaited."""
    queue = octet.queue("q")

    async def cancel() -> None:
        tasks = [
            asyncio.ensure_future(queue.reserve_async(wait_s=30)),
            asyncio.ensure_future(octet.kv.wait_async("k", wait_s=30, take=True)),
        ]
        await asyncio.to_thread(wait_for, lambda: listeners(octet) == 2, "both wait")
        for task in tasks:
            task.cancel()
        queue.push("a")
        octet.kv.put("k", 1)
        for task in tasks:
            with pytest.raises(asyncio.CancelledError):
                await task
        with pytest.raises(NothingThere):
            await octet.counter("c").wait_async(1, wait_s=0)
        await asyncio.to_thread(wait_for, lambda: listeners(octet) == 0, "the threads have ended")

    asyncio.run(cancel())
    wait_for(lambda: queue.stats().leased == 0 and octet.kv.get("k") == 1, "both are back")
    assert queue.stats().waiting == 1


def test_an_awaited_lock(octet: Octet) -> None:
    """`async with` waits, holds and frees."""

    async def hold(number: int) -> int:
        async with octet.lock("name:x", wait_s=30):
            assert len(octet.locks.list()) == 1
            return number

    async def both() -> list[int]:
        return list(await asyncio.gather(hold(1), hold(2)))

    assert asyncio.run(both()) == [1, 2]
    assert octet.locks.list() == []


def test_replay(octet: Octet) -> None:
    """From an id, a moment or so long ago, of one type or all."""
    for number in range(5):
        octet.events.publish("note" if number % 2 else "other", {"n": number})
    events = octet.events.log()
    replay = octet.events.replay
    assert (
        list(replay("0"))
        == list(replay(timedelta(minutes=5)))
        == list(replay(datetime.now(UTC) - timedelta(minutes=5)))
        == events
    )
    assert list(replay(events[2].id)) == events[3:]
    assert [event.fields["n"] for event in replay("0", "no*")] == [1, 3]
    assert (
        list(replay(timedelta(seconds=-5)))
        == list(replay(datetime.now(UTC) + timedelta(hours=1)))
        == []
    )
    for nonsense in ("", "x", "-", "1-", "1-99999999999999999999", "9" * 30):
        with pytest.raises(UsageError):
            list(replay(nonsense))


def test_follow_without_gap_or_double(octet: Octet) -> None:
    """What was logged before and what comes while it is read are seen once each, in order, by
    threads that begin at any time.
    """
    total, found = 600, [list[int]() for _ in range(4)]

    def follow(seen: list[int]) -> None:
        for event in octet.events.follow("0", "note", timeout_s=20):
            seen.append(event.fields["n"])
            if len(seen) == total:
                return

    threads = [threading.Thread(target=follow, args=(seen,)) for seen in found]
    for number in range(total):
        if number % 150 == 0:
            threads[number // 150].start()
        octet.events.publish("note", {"n": number})
        octet.events.publish("other")
    for thread in threads:
        thread.join(60)
    assert found == [list(range(total))] * 4


def test_follow_from_now(octet: Octet) -> None:
    """Without a beginning only what comes is seen, and a time-out ends it; awaited too."""
    octet.events.publish("before")

    async def first() -> list[str]:
        found = []
        async for event in octet.events.follow_async(timeout_s=20):
            found.append(event.type)
            return found
        return found

    async def both() -> list[str]:
        task = asyncio.ensure_future(first())
        await asyncio.to_thread(wait_for, lambda: listeners(octet) > 0, "it follows")
        octet.events.publish("after")
        return await task

    assert asyncio.run(both()) == ["after"]
    assert list(octet.events.follow(timeout_s=0.1)) == []
    wait_for(lambda: listeners(octet) == 0, "the thread has ended")


def test_the_public_names() -> None:
    """Everything that the package offers can be imported from it."""
    for name in package.__all__:
        assert getattr(package, name)
    with pytest.raises(AttributeError):
        _ = package.nonsense


def test_a_lease_tells_that_it_was_lost_for_a_while(octet: Octet) -> None:
    """Broken and free again: it is taken anew with another token, and what was begun under the old
    one must not go on.
    """
    agent = join(octet)
    with Lease(octet, agent, "repository:main") as lease:
        lease.check()
        octet.locks.break_lock("repository:main", "person-ann")
        with pytest.raises(LeaseLost):
            lease.check()
        lease.check()
    assert octet.locks.list() == []
