"""An agent's work state: its phases, and how it is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octet.core.agents.work_state import (
    LONG_AGO_MS,
    NOW,
    HandedTask,
    Park,
    Pause,
    Phase,
    Unclaimable,
    WorkState,
    from_fields,
    to_fields,
)

TASK = HandedTask("7", "3", "build", "c0ffee", 12, "a", 2)
FULL = WorkState(
    pause=Pause("lunch", "person-ann", 1),
    park=Park("it stopped", 2),
    begun=True,
    asked=True,
    talked_ms=3,
    idle_ms=4,
    cut_off=True,
    task=TASK,
    fruitless=5,
    returned={"7": 1, "8": 2},
    unclaimable=Unclaimable("1 task", 6, 7),
)


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        (WorkState(), Phase.WORKING),
        (WorkState(begun=True, idle_ms=1), Phase.IDLE),
        (WorkState(task=TASK), Phase.HANDED),
        (WorkState(task=TASK, idle_ms=1), Phase.HANDED),
        (WorkState(task=TASK, asked=True), Phase.ANSWERING),
        (WorkState(task=TASK, asked=True, idle_ms=1, cut_off=True), Phase.CUT_OFF),
        (WorkState(park=Park("x"), asked=True), Phase.PARKED),
        (FULL, Phase.PAUSED),
    ],
)
def test_the_phase_is_the_first_that_applies(state: WorkState, phase: Phase) -> None:
    """Stopped before cut off, cut off before a person, a person before the task."""
    assert state.phase == phase


def test_a_stop_is_said_with_its_reason() -> None:
    """The pause before the parking; "" for neither; control characters are stripped."""
    assert WorkState(pause=Pause("lunch\x1b[2J"), park=Park("x")).stopped == "paused: lunch [2J"
    assert WorkState(park=Park("it stopped")).stopped == "parked: it stopped"
    assert WorkState(task=TASK, asked=True).stopped == ""
    assert (FULL.paused, FULL.paused_by, FULL.parked) == ("lunch", "person-ann", "it stopped")
    assert (WorkState().paused, WorkState().paused_by, WorkState().parked) == ("", "", "")


def test_who_was_cut_off_is_idle() -> None:
    """No record says one without the other."""
    with pytest.raises(ValueError, match="cut off"):
        WorkState(cut_off=True)


def test_a_record_comes_back_as_it_was_written() -> None:
    """Every field of every part; absent parts leave no field behind."""
    assert from_fields(to_fields(FULL)) == FULL
    assert all(to_fields(FULL).values())
    assert set(to_fields(WorkState()).values()) == {""}
    assert to_fields(WorkState(idle_ms=NOW))["idle_ms"] == "now"


def test_a_record_of_the_version_before_is_read() -> None:
    """Its fields have the same names; what was left of a task or an offer that is over is nothing,
    and cut off without a time is cut off long ago.
    """
    read = from_fields(
        {"begun": "1", "stage": "build", "given_ms": "12", "told": "a", "offers": "2", "cut": "1"}
    )
    assert read == WorkState(begun=True, idle_ms=LONG_AGO_MS, cut_off=True)
    handed = {"task": "7", "token": "3", "stage": "build", "base": "c", "given_ms": "12"}
    assert from_fields(handed).task == HandedTask("7", "3", "build", "c", 12)


def test_a_spoiled_field_is_absent() -> None:
    """A number that is none, counts that are none."""
    read = from_fields({"barren": "x", "returns": '{"7": "1", "8": 2, "9": true}', "idle_ms": "-1"})
    assert read == WorkState(returned={"8": 2})
    assert from_fields({"returns": "[1]"}) == from_fields({"returns": "{"}) == WorkState()


@given(st.dictionaries(st.sampled_from(sorted(to_fields(FULL))) | st.text(), st.text()))
def test_a_record_made_by_hand_is_read(fields: dict[str, str]) -> None:
    """Anything may stand in it, under any name; what is read can be written."""
    state = from_fields(fields)
    assert from_fields(to_fields(state)) == state
