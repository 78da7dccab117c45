"""Messages of channels from the moment of subscribing on, and the wait for a change."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from octet.client.api import Octet
from octet.store.subscription import Subscription, wait_until


def test_no_message_after_entering_is_missed(octet: Octet) -> None:
    """All messages of channels and patterns come, each behind its channel; none from before."""
    publish = octet.store.client.publish
    publish("one", "before")
    with Subscription(octet.store, "one", patterns=["t*"]) as subscription:
        for channel, text in (("one", "1"), ("two", "2"), ("other", "3"), ("one", "4")):
            publish(channel, text)
        received: list[tuple[str, str]] = []
        while len(received) < 3 and (more := subscription.receive(20)):
            received += more
    assert received == [("one", "1"), ("two", "2"), ("one", "4")]


def test_a_wait_without_a_message_ends(octet: Octet) -> None:
    """Its time over, a wait returns nothing."""
    with Subscription(octet.store, "one") as subscription:
        assert subscription.wait(0.01) == []


def test_a_wait_is_stopped(octet: Octet) -> None:
    """A stop ends a wait long before its time."""
    stop = threading.Event()
    with Subscription(octet.store, "one", stop=stop, read_s=0.01) as subscription:
        threading.Timer(0.05, stop.set).start()
        began = time.monotonic()
        assert subscription.wait(60) == []
        assert subscription.stopped
    assert time.monotonic() - began < 30


def test_a_change_between_the_first_look_and_the_wait_is_seen(octet: Octet) -> None:
    """The subscription stands before the first look, so that a change after it wakes the wait."""
    seen: list[Sequence[str]] = []

    def attempt(messages: Sequence[str]) -> str | None:
        seen.append(messages)
        if len(seen) == 1:
            octet.store.client.publish("one", "now")
        return "found" if messages else None

    found = wait_until(Subscription(octet.store, "one"), attempt, wait_s=60, look_s=lambda: 60.0)
    assert found == "found"
    assert seen == [(), ["now"]]


def test_no_time_to_wait_is_one_look(octet: Octet) -> None:
    """Without a wait nothing is subscribed to; at the end of a wait there is one more look."""
    seen: list[Sequence[str]] = []
    subscription = Subscription(octet.store, "one")
    assert wait_until(subscription, lambda messages: seen.append(messages), 0) is None
    assert seen == [()]
    assert wait_until(subscription, lambda messages: seen.append(messages), 0.05) is None
    assert len(seen) >= 3
