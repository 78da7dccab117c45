"""Maps, pipelines, errors and progress on real servers."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from tests.support.redis_fixtures import wait_for
from tests.support.store_fixtures import looks

from octet.base.errors import NothingThere, OctetError, Refused, StaleToken, Stopped, UsageError
from octet.client.api import Octet
from octet.patterns.errors import Errors
from octet.patterns.map import Map
from octet.patterns.values import MAX_BYTES


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except OctetError as error:
        return error


def woken(octet: Octet, call: Callable[[], Any], act: Callable[[], Any]) -> Any:
    """What `call` answers, or raises, after `act`, which comes when it waits."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(outcome(call)))
    before = looks(octet.store.client)
    thread.start()
    wait_for(
        lambda: looks(octet.store.client) > before and octet.store.client.pubsub_channels() != [],
        "it waits",
    )
    act()
    thread.join(30)
    return answers[0]


def test_one_call(octet: Octet) -> None:
    """Results come in the order of the items, with an error for each that failed, whatever the
    items are.
    """
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
    """LPUSH into the map's queue is an item; one that RPOP took away is missed by whoever waits."""
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
        if item == "a":  # as if this machine had slept, and somebody else had done the item
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
        (lambda m, item: m.give_back(item), "x"),
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


def test_awaited(octet: Octet) -> None:
    """Waits can be awaited side by side; one that is cancelled gives back what it got."""

    async def share() -> list[Any]:
        mapped, pipeline = octet.map("m"), octet.pipeline("p")
        waiting = [
            asyncio.create_task(call)
            for call in (mapped.wait_async(wait_s=30), pipeline.wait_async(wait_s=30))
        ]
        mapped.done(await mapped.take_async(wait_s=30), 1)
        pipeline.done(await pipeline.begin_async(wait_s=30), 2)
        return await asyncio.gather(*waiting, octet.progress("x").wait_async(wait_s=30))

    octet.map("m").start(["a"])
    octet.pipeline("p").start("one")
    octet.progress("x").set(3, total=3)
    results, steps, reading = asyncio.run(share())
    assert (results[0].value, steps[0].result, reading.done) == (1, 2, True)


def test_a_step_has_one_worker(octet: Octet) -> None:
    """Of twenty that begin at once one does; so it is with each step, and no step begins before
    those before it are done.
    """
    octet.pipeline("p").start("one", "two", "three")
    for step in ("one", "two", "three"):
        with ThreadPoolExecutor(20) as pool:
            found = list(
                pool.map(
                    lambda n: outcome(lambda: octet.pipeline("p").begin(worker=f"w{n}")), range(20)
                )
            )
        [turn] = [answer for answer in found if not isinstance(answer, NothingThere)]
        assert turn.step == step
        octet.pipeline("p").done(turn, step)
    assert [entry.result for entry in octet.pipeline("p").steps()] == ["one", "two", "three"]


def test_a_dead_workers_step_goes_on(octet: Octet) -> None:
    """When the lease has run out the next one has it, and the late one is refused."""
    pipeline = octet.pipeline("p")
    pipeline.start("one", "two")
    late = pipeline.begin(lease_s=0.05)
    turn = pipeline.begin(wait_s=10)
    assert (turn.step, turn.tries) == ("one", 2)
    for call in (pipeline.done, pipeline.renew, lambda token: pipeline.fail(token, "no")):
        with pytest.raises(StaleToken):
            call(late)
    assert pipeline.done(turn) == 1


@pytest.mark.usefixtures("only_words")
def test_whoever_waits_for_a_step_is_woken(octet: Octet) -> None:
    """By the step before, by the one that it waits for, and at once by a failure."""
    pipeline = octet.pipeline("p")
    pipeline.start("one", "two")
    turn = pipeline.begin()
    assert woken(
        octet, lambda: pipeline.begin("two", wait_s=30), lambda: pipeline.done(turn, [1])
    ).given == [1]
    two = pipeline.steps()[1]
    assert two.state == "running"
    other = octet.pipeline("q")
    other.start("one", "two")
    for wait in (lambda: other.begin("two", wait_s=30), lambda: other.wait(wait_s=30)):
        other.begin(again=True)
        token = octet.store.client.hget("workflow:{p}:pipeline:q", "1:token")
        found = woken(octet, wait, partial(other.fail, token, "cannot"))
        assert isinstance(found, Stopped)
        assert "step one of pipeline q failed: cannot" in str(found)


def test_run_resumes(octet: Octet) -> None:
    """A step that raises stops what follows; the next run does it and the rest, and nothing that
    was done.
    """
    done: list[Any] = []

    def fails(_: Any) -> None:
        done.append("fails")
        raise RuntimeError("not yet")

    with pytest.raises(Stopped, match="not yet"):
        octet.pipeline("p").run({"a": lambda _: done.append("a"), "b": fails, "c": done.append})
    octet.pipeline("p").run({"a": fails, "b": lambda _: "from b", "c": done.append})
    assert done == ["a", "fails", "from b"]
    with pytest.raises(Refused, match="other steps"):
        octet.pipeline("p").run({"a": fails})


@pytest.mark.parametrize("steps", [(), ("a", "a"), ("a b",), ("",), tuple(map(str, range(101)))])
def test_steps_that_cannot_be(octet: Octet, steps: tuple[str, ...]) -> None:
    """Refused before anything is stored."""
    with pytest.raises(UsageError):
        octet.pipeline("p").start(*steps)
    assert list(octet.store.client.scan_iter()) == []


def test_errors_keep_the_last(octet: Octet) -> None:
    """All are counted, the last 10,000 are there to be read, and what is no report of ours is text."""
    errors = octet.errors("e")
    for _ in range(11):
        errors.add(*["x"] * 1000)
    octet.store.client.lpush("workflow:{p}:error:e", '{"text": 1}', "[", "last")
    assert errors.standing().count == 11_003
    assert [report.text for report in errors.list(3)] == ['{"text": 1}', "[", "last"]
    assert octet.store.client.llen("workflow:{p}:error:e") == 10_003
    with pytest.raises(UsageError):
        errors.add(" ")


def test_progress_counts_from_where_it_began(octet: Octet) -> None:
    """The rate is that of the work done since; set back, it begins anew; without a total there is
    no percent.
    """
    progress = octet.progress("x")
    assert (progress.add(5).percent, progress.read().eta_s) == (None, None)
    octet.store.client.hset("workflow:{p}:progress:x", "started_ms", octet.now_ms() - 10_000)
    reading = progress.add(20, total=45)
    assert 1.8 < (reading.rate or 0) <= 2
    assert 9 < (reading.eta_s or 0) < 12
    assert progress.set(2).rate is None
    assert progress.set(90).percent == 100
    for wrong in (
        lambda: progress.set(-1),
        lambda: progress.set(0, total=-1),
        lambda: progress.add(2**54),
    ):
        with pytest.raises(UsageError):
            wrong()


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
