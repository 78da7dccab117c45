"""Maps on real servers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.redis_fixtures import wait_for
from tests.support.store_fixtures import woken

from octet.base.errors import NothingThere, Stopped
from octet.client.api import Octet
from octet.patterns.errors import Errors
from octet.patterns.map import Map
from octet.patterns.values import MAX_BYTES


def test_one_call(octet: Octet) -> None:
    """Results come in the items' order, with an error for each failure, for any items."""
    items = ["b", "a", {"deep": [1]}, 7, "", None]

    def do(item: Any) -> Any:
        if item == 7:
            raise ValueError("seven")
        return [item]

    results = octet.map("m").run(items, do, workers=4)
    assert [result.item for result in results] == items
    assert [result.value for result in results] == [
        ["b"],
        ["a"],
        [{"deep": [1]}],
        None,
        [""],
        [None],
    ]
    assert [result.error for result in results if result.error] == ["ValueError: seven"]
    tally = octet.map("m").tally()
    assert (tally.total, tally.done, tally.failed, tally.left) == (6, 5, 1, 0)
    assert tally.started_ms <= tally.at_ms <= octet.now_ms()


def test_what_has_a_result_is_not_done_again(octet: Octet) -> None:
    """The same items started again, some of them twice, are those without one."""
    done: list[str] = []
    octet.map("m").run(["a", "b", "a"], done.append, workers=1)
    octet.map("m").run(["b", "c", "a"], done.append, workers=1)
    assert done == ["a", "b", "c"]


def test_a_result_that_cannot_be_stored_is_the_items_error(octet: Octet) -> None:
    """Neither the item nor the other ones are lost by it."""
    values = {"set": {1}, "large": "x" * (MAX_BYTES + 1), "nan": math.nan, "fine": 1}
    results = octet.map("m").run(list(values), values.__getitem__, workers=2)
    assert [result.error is None for result in results] == [False, False, False, True]


def test_what_raw_commands_put_in_is_done_too(octet: Octet) -> None:
    """LPUSH into the map's queue is an item; one that RPOP took away is reported as lost."""
    octet.map("m").start(["a"])
    octet.store.client.lpush("workflow:{p}:queue:map:m", "raw")
    assert octet.map("m").tally().total == 2
    assert [r.item for r in octet.map("m").run([], lambda item: item, workers=1)] == ["a", "raw"]
    octet.map("n").start(["a", "b"])
    octet.store.client.rpop("workflow:{p}:queue:map:n")
    with pytest.raises(NothingThere, match="lost 1 of 2 items"):
        octet.map("n").run([], lambda item: item, workers=1)


def test_an_item_that_kills_its_workers_fails(octet: Octet) -> None:
    """After its last delivery it has an error like any other, and can be put in again."""
    octet.map("m").start(["bad"])
    for _ in range(2):
        octet.map("m").take(lease_s=0.001, max_deliveries=2, wait_s=5)
        wait_for(lambda: octet.map("m").tally().ready == 1, "its lease is over")
    with pytest.raises(NothingThere):
        octet.map("m").take()
    [result] = octet.map("m").wait(wait_s=0)
    assert result.error == "its lease ran out"
    assert octet.map("m").retry() == 1
    octet.map("m").done(octet.map("m").take(), "fine")
    assert [(r.value, r.error) for r in octet.map("m").results()] == [("fine", None)]


def test_a_worker_that_lost_its_lease_goes_on(octet: Octet) -> None:
    """Its result is refused, the other one's stands, and it does what is left."""
    mapped = octet.map("m")

    def do(item: str) -> str:
        if item == "a":  # as if this machine had slept, and another worker had done the item
            octet.store.client.zadd(
                octet.store.keys.queue_leased("map:m"), {mapped.queue.leased()[0].token: 1}
            )
            mapped.done(mapped.take(), "of the other")
        return "mine"

    mapped.start(["a", "b"])
    assert mapped.work(do, lease_s=60) == 1
    assert [result.value for result in mapped.results()] == ["of the other", "mine"]


@pytest.mark.usefixtures("only_words")
@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda m, item: m.done(item, 1), NothingThere),
        (lambda m, item: m.fail(item, "no"), NothingThere),
        (lambda m, item: m.release(item), "x"),
        (lambda m, _: m.start(["y"]), "y"),
        (lambda m, _: m.errors.add("bad", fail_fast=1), Stopped),
    ],
    ids=["done", "failed", "back", "new", "stopped"],
)
def test_a_worker_is_woken(octet: Octet, act: Callable[[Map, Any], Any], kind: Any) -> None:
    """By the end of the last item, by one that comes, and by errors that stop the work."""
    octet.map("m").start(["x"])
    item = octet.map("m").take()
    found = woken(octet, lambda: octet.map("m").take(wait_s=30), lambda: act(octet.map("m"), item))
    assert isinstance(found, kind) if isinstance(kind, type) else found.value == kind


@pytest.mark.usefixtures("only_words")
def test_whoever_waits_for_a_map_is_woken(octet: Octet) -> None:
    """By the last result, and at once by errors that stop the work."""
    mapped = octet.map("m")
    mapped.start(["x"])
    assert (
        len(woken(octet, lambda: mapped.wait(wait_s=30), lambda: mapped.done(mapped.take()))) == 1
    )
    octet.map("n").start(["x"])
    found = woken(
        octet,
        lambda: octet.map("n").wait(wait_s=30),
        lambda: Errors(octet.store, "n").add("bad", fail_fast=1),
    )
    assert isinstance(found, Stopped)
    octet.map("o").start(["x"])
    with pytest.raises(NothingThere, match="1 of 1 items left"):
        octet.map("o").wait(wait_s=0)


def test_fail_fast_leaves_the_rest(octet: Octet) -> None:
    """What was not begun is not begun; the errors say why."""
    with pytest.raises(Stopped, match=r"stop the work: [23]"):
        octet.map("m").run(range(50), lambda _: 1 / 0, workers=2, fail_fast=2)
    assert octet.map("m").tally().ready >= 47
    assert octet.errors("m").list()[0].text.startswith("ZeroDivisionError")
