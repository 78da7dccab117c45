"""What follows the end of a turn: the rules alone, over every standing that matters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octet.core.agents.work_state import MOST_REMEMBERED, Standing, more_returns, packed
from octet.core.tasks.record import Task, TaskState
from octet.daemon.turns.rules import MOST_REMINDERS, Turn, decide, settle
from octet.project.config import Config

CONFIG = Config("shop")
NOW_MS = 1_000_000_000
TASK = Task("7", "work", TaskState.CLAIMED, token="3")
HANDED = Standing(begun=True, task="7", token="3", stage="build")


def turn(standing: Standing, **known: Any) -> Turn:
    return Turn(standing, "build", "developer-1", NOW_MS, **known)


def kind(standing: Standing, **known: Any) -> str:
    return decide(turn(standing, **known), CONFIG).kind


def test_an_idle_agent_is_handed_work() -> None:
    """From its first turn on, and whatever was said long ago."""
    assert kind(Standing()) == "hand"
    assert kind(Standing(begun=True)) == "hand"
    assert kind(Standing(begun=True, talked_ms=NOW_MS - CONFIG.crew_quiet_s * 1000)) == "hand"


@pytest.mark.parametrize("stopped", [Standing(paused="lunch"), Standing(parked="it stopped")])
@pytest.mark.parametrize("held", [(), (TASK,)])
def test_a_stopped_agent_is_left_alone(stopped: Standing, held: tuple[Task, ...]) -> None:
    """Paused or parked, with a task in hand or without."""
    assert kind(stopped, held=held, mark="a") == "idle"


def test_a_person_who_talks_with_it_is_not_followed_by_new_work() -> None:
    """It answers, and is idle for a time; not after the prompt that began the session, nor after
    one that came during work.
    """
    step = decide(turn(Standing(begun=True, asked=True)), CONFIG)
    assert (step.kind, step.changes["talked_ms"], step.changes["asked"]) == ("idle", "now", "")
    assert kind(Standing(begun=True, talked_ms=NOW_MS - 1000)) == "idle"
    assert kind(Standing(asked=True)) == "hand"
    submitted = replace(TASK, state=TaskState.SUBMITTED, author="developer-1", commit="c0ffee")
    assert kind(replace(HANDED, asked=True), ended=submitted) == "hand"


def test_a_task_in_hand_is_told_once_and_again_only_after_progress() -> None:
    """The second stop without anything done in between parks; what was done for it makes it a new
    one; five times is enough.
    """
    first = decide(turn(HANDED, held=(TASK,), mark="a"), CONFIG)
    assert (first.kind, first.changes["told"], first.changes["reminders"]) == ("remind", "a", "1")
    told = replace(HANDED, told="a", reminders=1)
    assert kind(told, held=(TASK,), mark="b") == "remind"
    assert decide(turn(told, held=(TASK,), mark="a"), CONFIG).reason.startswith(
        "it stopped twice with task 7"
    )
    assert kind(replace(told, reminders=MOST_REMINDERS), held=(TASK,), mark="b") == "park"


def test_a_person_may_keep_it_from_its_task() -> None:
    """It is reminded once after a prompt, then left with its person, and not parked."""
    asked = replace(HANDED, asked=True)
    assert kind(asked, held=(TASK,), mark="a") == "remind"
    assert kind(replace(asked, told="a"), held=(TASK,), mark="a") == "idle"


def test_a_claim_of_its_own_is_taken_up() -> None:
    """What an agent claimed by hand is known from its next stop on."""
    step = decide(turn(Standing(begun=True), held=(TASK,), mark="a"), CONFIG)
    assert (step.kind, step.changes["task"], step.changes["token"]) == ("remind", "7", "3")


def test_what_runs_in_the_background_wakes_it_by_itself() -> None:
    """No reminder and no new task while its tests or its sub-agents run."""
    assert kind(HANDED, held=(TASK,), mark="a", waits=True) == "idle"
    assert kind(Standing(begun=True), waits=True) == "idle"


ENDS = [
    (
        "build",
        replace(TASK, state=TaskState.SUBMITTED, author="developer-1", commit="c0ffee"),
        False,
        True,
    ),
    (
        "build",
        replace(TASK, state=TaskState.SUBMITTED, author="developer-1", commit=""),
        False,
        False,
    ),
    (
        "build",
        replace(TASK, state=TaskState.SUBMITTED, author="developer-1", commit="old"),
        False,
        False,
    ),
    ("build", replace(TASK, state=TaskState.PENDING), False, False),
    ("build", replace(TASK, state=TaskState.DONE), False, False),
    ("build", replace(TASK, state=TaskState.CANCELLED), False, None),
    ("build", None, False, None),
    ("design", replace(TASK, state=TaskState.DONE), False, True),
    ("design", replace(TASK, state=TaskState.PENDING, author=""), False, False),
    ("review", replace(TASK, state=TaskState.SUBMITTED, commit="old"), True, True),
    ("review", replace(TASK, state=TaskState.SUBMITTED, commit="old"), False, False),
    ("review", replace(TASK, state=TaskState.SUBMITTED, commit="new"), False, None),
]


@pytest.mark.parametrize(("stage", "ended", "judged", "fruit"), ENDS)
def test_what_came_of_a_task(
    stage: str, ended: Task | None, judged: bool, fruit: bool | None
) -> None:
    """A commit, a decision or a verdict ends the count; a task that came back adds to it; what
    others did to it changes nothing.
    """
    changes = settle(
        turn(replace(HANDED, stage=stage, base="old", barren=1), ended=ended, judged=judged)
    )
    assert changes["task"] == changes["token"] == ""
    assert changes.get("barren") == {True: "", False: "2", None: None}[fruit]


def test_tasks_without_a_commit_park() -> None:
    """The third in a row by default; the same one twice."""
    back = replace(TASK, state=TaskState.PENDING)
    assert kind(replace(HANDED, barren=1), ended=back) == "hand"
    assert (
        decide(turn(replace(HANDED, barren=2), ended=back), CONFIG).reason
        == "3 tasks in a row came to no commit"
    )
    assert (
        "task 7 without a result 2 times"
        in decide(turn(replace(HANDED, returns={"7": 1}), ended=back), CONFIG).reason
    )
    assert (
        kind(
            replace(HANDED, barren=2),
            ended=replace(TASK, state=TaskState.SUBMITTED, author="developer-1", commit="c"),
        )
        == "hand"
    )


def test_a_reason_to_park_is_counted_once() -> None:
    """A prompt clears the counts: the next stop hands out work again."""
    assert kind(Standing(begun=True, barren=0, returns={})) == "hand"


@given(st.dictionaries(st.text(), st.text()))
def test_a_record_made_by_hand_is_read(fields: dict[str, str]) -> None:
    """Whatever stands in it, under whatever name."""
    known = dict(zip(Standing.__annotations__, fields.values(), strict=False))
    Standing.from_hash({**fields, **known})


def test_a_record_comes_back_as_it_was_written() -> None:
    """Counts, flags and times."""
    counts: dict[str, int] = {}
    for number in range(MOST_REMEMBERED + 3):
        counts = more_returns(counts, str(number))
    counts = more_returns(more_returns(counts, "5"), "5")
    read = Standing.from_hash(
        {"returns": packed(counts), "begun": "1", "given_ms": "12", "barren": "x", "told": "a"}
    )
    assert (read.returns["5"], len(read.returns), "0" in read.returns) == (
        3,
        MOST_REMEMBERED,
        False,
    )
    assert (read.begun, read.asked, read.given_ms, read.barren, read.told) == (
        True,
        False,
        12,
        0,
        "a",
    )
