"""Pipelines on real servers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from tests.support.store_fixtures import outcome, woken

from octet.base.errors import NothingThere, Refused, StaleToken, Stopped, UsageError
from octet.client.api import Octet


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
