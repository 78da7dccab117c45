"""Shared state on real servers: no writer overwrites what it has not seen; changes are told."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest
from tests.support.redis_fixtures import wait_for
from tests.support.store_fixtures import looks

from octet.base.errors import NothingThere, UsageError, VersionConflict
from octet.client.api import Octet
from octet.patterns.state import Field, State


@pytest.fixture
def state(octet: Octet) -> State:
    return octet.state("analysis:results")


def test_set_and_get(octet: Octet, state: State) -> None:
    """Values come back as they went, and redis-cli reads and writes the same hash."""
    state.set_many({"src/app.ts": {"lines": 100}, "status": "in_progress", "n": "42"})
    assert state.all() == {"src/app.ts": {"lines": 100}, "status": "in_progress", "n": "42"}
    client = octet.store.client
    assert client.hget("workflow:{p}:state:analysis:results", "status") == "in_progress"
    client.hset("workflow:{p}:state:analysis:results", "status", "completed")
    assert state.get("status") == "completed"
    assert state.get("nothing", "default") == "default"
    with pytest.raises(NothingThere):
        state.read("nothing")


def test_compare_and_set(state: State) -> None:
    """Only the version read last can be replaced; a field deleted and set again is another."""
    first = state.compare_and_set("a", 1, "0")
    second = state.compare_and_set("a", 2, first)
    for version in (first, "0", "999999"):
        with pytest.raises(VersionConflict) as caught:
            state.compare_and_set("a", 3, version)
        assert caught.value.version == second
    state.delete("a", version=second)
    assert int(state.set("a", 1)) > int(second)
    with pytest.raises(VersionConflict):
        state.compare_and_set("a", 3, first)


def test_a_hand_made_change_is_a_change(octet: Octet, state: State) -> None:
    """What redis-cli wrote between reading and setting is not lost."""
    version = state.set("a", 1)
    octet.store.client.hset(octet.store.keys.shared_state(state.name), "a", "by hand")
    with pytest.raises(VersionConflict, match="by hand"):
        state.compare_and_set("a", 2, version)
    assert state.compare_and_set("a", 2, state.read("a").version)


def test_update_is_called_again(state: State) -> None:
    """A change that lost the race is made again on what is there now."""
    seen: list[Any] = []

    def add(value: Any) -> Any:
        seen.append(value)
        if len(seen) == 1:
            state.set("list", ["other"])
        return [*(value or []), "mine"]

    assert state.update("list", add).value == ["other", "mine"]
    assert seen == [None, ["other"]]


def test_incr(state: State) -> None:
    """Whole numbers are added to exactly, others not at all."""
    assert state.incr("n", 2**62) == 2**62
    assert state.incr("n", 2**62 - 1) == 2**63 - 1
    with pytest.raises(UsageError):
        state.incr("n")
    with pytest.raises(UsageError):
        state.incr("n", 2**63)
    state.set("text", "x")
    with pytest.raises(UsageError, match="'x'"):
        state.incr("text")


def watched(
    octet: Octet, state: State, count: int, **how: Any
) -> tuple[threading.Thread, list[Field]]:
    found: list[Field] = []

    def watch() -> None:
        for change in state.watch(timeout_s=20, **how):
            found.append(change)
            if len(found) == count:
                return

    thread = threading.Thread(target=watch)
    before = looks(octet.store.client)
    thread.start()
    wait_for(
        lambda: looks(octet.store.client) > before and octet.store.client.pubsub_channels() != [],
        "it watches",
    )
    return thread, found


def test_watch(octet: Octet, state: State) -> None:
    """Each change is shown, a deletion too, and what redis-cli did at the next look."""
    state.set("before", 1)
    thread, found = watched(octet, state, 3)
    state.set("a", 1)
    wait_for(lambda: len(found) == 1, "a is seen")
    state.delete("before")
    wait_for(lambda: len(found) == 2, "the deletion is seen")
    octet.store.client.hset(octet.store.keys.shared_state(state.name), "a", "2")
    thread.join(30)
    assert [(change.field, change.value) for change in found] == [
        ("a", 1),
        ("before", None),
        ("a", 2),
    ]
    assert found[1].version == "0"


@pytest.mark.usefixtures("only_words")
def test_watch_one_field(octet: Octet, state: State) -> None:
    """Others are not shown."""
    thread, found = watched(octet, state, 1, field="a")
    state.set("b", 1)
    state.set("a", 2)
    thread.join(30)
    assert [(change.field, change.value) for change in found] == [("a", 2)]


def completed(value: object) -> bool:
    return value == "completed"


@pytest.mark.usefixtures("only_words")
def test_wait(octet: Octet, state: State) -> None:
    """Waiting for a value ends when it is there, at once where it was."""
    state.set("status", "running")
    with pytest.raises(NothingThere, match="running"):
        state.wait("status", completed, wait_s=0.1)
    answers: list[Field] = []
    thread = threading.Thread(
        target=lambda: answers.append(state.wait("status", completed, wait_s=60))
    )
    before = looks(octet.store.client)
    thread.start()
    wait_for(
        lambda: looks(octet.store.client) > before and octet.store.client.pubsub_channels() != [],
        "it waits",
    )
    state.set("status", "completed")
    thread.join(30)
    assert answers[0].value == "completed"
    assert state.wait("status", wait_s=0) == answers[0]


def test_time_to_live(octet: Octet) -> None:
    """A state lives for a day after its last use, for as long as was said, or for ever only when
    that was said.
    """
    client, keys = octet.store.client, octet.store.keys
    client.hset(keys.shared_state("raw"), "a", 1)
    octet.state("raw").get("a")
    octet.state("short", ttl_s=60).set("a", 1)
    octet.state("kept", ttl_s=math.inf).set("a", 1)
    octet.state("kept").set("b", 1)
    for name, least, most in (
        ("raw", 86_000_000, 86_400_000),
        ("short", 1, 60_000),
        ("kept", -1, -1),
    ):
        for key in (keys.shared_state(name), keys.state_versions(name)):
            assert least <= client.pttl(key) <= most, key


def test_what_makes_no_sense(state: State) -> None:
    """Refused, and nothing is there."""
    for call in (
        lambda: state.set("", 1),
        lambda: state.set("a\n", 1),
        lambda: state.set_many({}),
        lambda: state.set_many({"good": 1, "bad": math.nan}),
        lambda: state.compare_and_set("a", 1, "x"),
        lambda: state.delete(),
        lambda: state.delete("a", "b", version="1"),
    ):
        with pytest.raises(UsageError):
            call()
    assert state.all() == {}
