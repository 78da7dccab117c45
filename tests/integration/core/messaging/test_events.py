"""Events on real servers: stored and published in one step, in order, under unforgeable names."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.redis_fixtures import wait_for
from tests.support.store_fixtures import join

from octet.base.errors import UsageError
from octet.client.api import Octet
from octet.core.messaging.events import Event

ODD_FIELDS: dict[str, Any] = {
    "empty list": [],
    "empty object": {},
    "large": 12345678901234567890,
    "precise": 0.1234567890123456,
    "null": None,
    "nested": {"a": [[[1, {"b": []}]]]},
    'q"uo\nte': "\u202e\x1b[2J\\ 漢字 🎉",
    "surrogate": "\udcff",
}


def watched(
    octet: Octet, pattern: str, publish: Callable[[], object], count: int = 1
) -> list[Event]:
    """The first `count` events of a watcher that has subscribed before `publish` is called."""
    found: list[Event] = []

    def watch() -> None:
        for event in octet.events.watch(pattern, timeout_s=20):
            found.append(event)
            if len(found) == count:
                return

    thread = threading.Thread(target=watch)
    thread.start()
    wait_for(lambda: octet.store.client.pubsub_numpat() > 0, "the watcher has subscribed")
    publish()
    thread.join(30)
    return found


def test_fields_come_back_as_they_went(octet: Octet) -> None:
    """Empty lists stay lists and large numbers exact, in the log and on the channel."""
    live = watched(octet, "*", lambda: octet.events.publish("note", ODD_FIELDS))
    for event in (*octet.events.log(), *live):
        assert event.type == "note"
        assert {
            name: value for name, value in event.fields.items() if name != "at_ms"
        } == ODD_FIELDS
        assert abs(event.fields["at_ms"] - octet.now_ms()) < 60_000


def test_a_live_event_carries_its_place_in_the_log(octet: Octet) -> None:
    """A watcher can go on where its reading of the log ended, without a gap or a double."""

    def publish() -> None:
        for number in range(5):
            octet.events.publish("note", {"n": number})

    live = watched(octet, "n*", publish, count=5)
    assert live == octet.events.log()
    assert [event.id for event in live] == sorted(event.id for event in live)


def test_patterns(octet: Octet) -> None:
    """A watcher sees the types that its pattern names."""

    def publish() -> None:
        octet.tasks.add("x")
        octet.events.publish("note", {})
        octet.tasks.claim(join(octet))

    assert [event.type for event in watched(octet, "task_*", publish, count=2)] == [
        "task_added",
        "task_claimed",
    ]


def test_watching_ends_after_the_timeout(octet: Octet) -> None:
    """A watcher that sees nothing ends when its time is over, not before."""
    began = time.monotonic()
    assert list(octet.events.watch("*", timeout_s=0.3)) == []
    assert 0.3 <= time.monotonic() - began < 10


def test_the_log_is_the_last_and_bounded(single_octet: Octet) -> None:
    """The log gives the last events, oldest first, and forgets the oldest."""
    octet = single_octet
    for number in range(10_300):
        octet.events.publish("note", {"n": number})
    assert [event.fields["n"] for event in octet.events.log(3)] == [10_297, 10_298, 10_299]
    assert 10_000 <= octet.store.client.xlen(octet.store.keys.log) < 10_300


def deep() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(100_000):
        found = {"a": found}
    return found


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "1"},
        {"type": "x"},
        {"at_ms": 1},
        {"x": float("nan")},
        {"x": float("inf")},
        {"x": {1, 2}},
        {"x": "x" * 70_000},
        {"x": "\ud800"},
    ],
    ids=str,
)
def test_fields_that_cannot_be(octet: Octet, fields: dict[str, Any]) -> None:
    """What is no JSON, too large or named as Octet's own fields is refused, and nothing is kept."""
    with pytest.raises(UsageError):
        octet.events.publish("note", fields)
    assert octet.events.log() == []


def test_fields_too_deep(octet: Octet) -> None:
    """Fields nested too deep to write are an error of usage, not of the interpreter."""
    with pytest.raises(UsageError, match="deep"):
        octet.events.publish("note", deep())


@pytest.mark.parametrize("name", ["", "a b", "a:b", "é", "²", "a\n", "*", "x" * 65])
def test_types_that_cannot_be(octet: Octet, name: str) -> None:
    """A type is one plain word."""
    with pytest.raises(UsageError):
        octet.events.publish(name)


def listeners(octet: Octet) -> int:
    return len(octet.store.client.pubsub_channels()) + int(octet.store.client.pubsub_numpat())


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
    """Without a beginning only new events are seen, and a time-out ends it."""
    octet.events.publish("before")
    found: list[str] = []

    def first() -> None:
        found.append(next(iter(octet.events.follow(timeout_s=20))).type)

    thread = threading.Thread(target=first)
    thread.start()
    wait_for(lambda: listeners(octet) > 0, "it follows")
    octet.events.publish("after")
    thread.join(30)
    assert found == ["after"]
    assert list(octet.events.follow(timeout_s=0.1)) == []
    wait_for(lambda: listeners(octet) == 0, "nothing listens any more")
