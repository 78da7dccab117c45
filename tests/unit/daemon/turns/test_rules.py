"""What follows the end of a turn: the rules alone, over every work state that matters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from octet.core.agents.work_state import NOW, HandedTask, Park, Pause, WorkState
from octet.core.tasks.record import Task, TaskState
from octet.daemon.turns.rules import MAX_REMINDERS, EndedTurn, decide, settle
from octet.project.config import Config

CONFIG = Config("shop")
NOW_MS = 1_000_000_000
TASK = Task("7", "work", TaskState.CLAIMED, token="3")
WORK = HandedTask("7", "3", "build")
HANDED = WorkState(begun=True, task=WORK)


def turn(state: WorkState, **known: Any) -> EndedTurn:
    return EndedTurn(state, "build", "developer-1", NOW_MS, **known)


def kind(state: WorkState, **known: Any) -> str:
    return decide(turn(state, **known), CONFIG).kind


def after(state: WorkState, **known: Any) -> WorkState:
    """The record as the step leaves it."""
    return decide(turn(state, **known), CONFIG).change(state)


def test_an_idle_agent_is_handed_work() -> None:
    """From its first turn on, and whatever was said long ago."""
    assert kind(WorkState()) == "assign"
    assert kind(WorkState(begun=True)) == "assign"
    assert kind(WorkState(begun=True, talked_ms=NOW_MS - CONFIG.crew_quiet_s * 1000)) == "assign"


@pytest.mark.parametrize("stopped", [WorkState(Pause("lunch")), WorkState(park=Park("it stopped"))])
@pytest.mark.parametrize("held", [(), (TASK,)])
def test_a_stopped_agent_is_left_alone(stopped: WorkState, held: tuple[Task, ...]) -> None:
    """Paused or parked, with a task in hand or without."""
    assert kind(stopped, held=held, mark="a") == "idle"


def test_a_person_who_talks_with_it_is_not_followed_by_new_work() -> None:
    """It answers, and is idle for a time; not after the prompt that began the session, nor after
    one that came during work.
    """
    asked = WorkState(begun=True, asked=True)
    assert kind(asked) == "idle"
    assert (after(asked).talked_ms, after(asked).asked) == (NOW, False)
    assert kind(WorkState(begun=True, talked_ms=NOW_MS - 1000)) == "idle"
    assert kind(WorkState(asked=True)) == "assign"
    submitted = replace(TASK, state=TaskState.SUBMITTED, author="developer-1", commit="c0ffee")
    assert kind(replace(HANDED, asked=True), ended=submitted) == "assign"


def test_a_task_in_hand_is_told_once_and_again_only_after_progress() -> None:
    """The second stop without anything done in between parks; what was done for it makes it a new
    one; five times is enough.
    """
    told = after(HANDED, held=(TASK,), mark="a")
    assert kind(HANDED, held=(TASK,), mark="a") == "remind"
    assert told.task == replace(WORK, mark="a", reminders=1)
    assert kind(told, held=(TASK,), mark="b") == "remind"
    assert decide(turn(told, held=(TASK,), mark="a"), CONFIG).reason.startswith(
        "it stopped twice with task 7"
    )
    often = replace(HANDED, task=replace(WORK, mark="a", reminders=MAX_REMINDERS))
    assert kind(often, held=(TASK,), mark="b") == "park"


def test_a_person_may_keep_it_from_its_task() -> None:
    """It is reminded once after a prompt, then left with its person, and not parked."""
    asked = replace(HANDED, asked=True)
    assert kind(asked, held=(TASK,), mark="a") == "remind"
    assert kind(replace(asked, task=replace(WORK, mark="a")), held=(TASK,), mark="a") == "idle"


def test_a_claim_of_its_own_is_taken_up() -> None:
    """What an agent claimed by hand is known from its next stop on."""
    own = WorkState(begun=True)
    assert kind(own, held=(TASK,), mark="a") == "remind"
    assert after(own, held=(TASK,), mark="a").task == replace(
        WORK, at_ms=NOW, mark="a", reminders=1
    )


def test_what_runs_in_the_background_wakes_it_by_itself() -> None:
    """No reminder and no new task while its tests or its sub-agents run."""
    assert kind(HANDED, held=(TASK,), mark="a", waits=True) == "idle"
    assert kind(WorkState(begun=True), waits=True) == "idle"


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
    before = replace(HANDED, task=replace(WORK, stage=stage, base="old"), fruitless=1)
    settled = settle(turn(before, ended=ended, judged=judged))(before)
    assert settled.task is None
    assert settled.fruitless == {True: 0, False: 2, None: 1}[fruit]


def test_tasks_without_a_commit_park() -> None:
    """The third in a row by default; the same one twice."""
    back = replace(TASK, state=TaskState.PENDING)
    assert kind(replace(HANDED, fruitless=1), ended=back) == "assign"
    assert (
        decide(turn(replace(HANDED, fruitless=2), ended=back), CONFIG).reason
        == "3 tasks in a row came to no commit"
    )
    assert (
        "task 7 without a result 2 times"
        in decide(turn(replace(HANDED, returned={"7": 1}), ended=back), CONFIG).reason
    )
    assert (
        kind(
            replace(HANDED, fruitless=2),
            ended=replace(TASK, state=TaskState.SUBMITTED, author="developer-1", commit="c"),
        )
        == "assign"
    )


def test_a_reason_to_park_is_counted_once() -> None:
    """A prompt clears the counts: the next stop hands out work again."""
    assert kind(WorkState(begun=True, fruitless=0, returned={})) == "assign"
