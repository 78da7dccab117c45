"""The changes of a work state, alone and one after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from octet.core.agents import work_changes as work
from octet.core.agents.work_changes import WorkChange
from octet.core.agents.work_state import (
    NOW,
    HandedTask,
    Phase,
    Unclaimable,
    WorkState,
    from_fields,
    to_fields,
)

ONE, TWO = HandedTask("1", "10"), HandedTask("2", "20")
QUEUE = Unclaimable("2 tasks", 5, 1)
CHANGES: dict[str, WorkChange] = {
    "pause": lambda s: work.pause(s, "lunch", "person-ann"),
    "lift": lambda s: work.lift_pause(s, "person-ann"),
    "lift of another": lambda s: work.lift_pause(s, "budget"),
    "park": lambda s: work.park(s, "it stopped"),
    "resume": work.resume,
    "session": work.begin_session,
    "prompt": work.hear_person,
    "end turn": work.end_turn,
    "end answer": work.end_answer,
    "go on": work.go_on,
    "Esc": work.break_off,
    "cut off": lambda s: work.break_off(s, cut_off=True),
    "hand over": lambda s: work.hand_over(s, ONE),
    "take up": lambda s: work.take_up(s, TWO),
    "remind": lambda s: work.remind(s, "mark", asked=work.is_asked(s)),
    "fruit": lambda s: work.end_task(s, "10", True),
    "no fruit": lambda s: work.end_task(s, "10", False),
    "not its own": lambda s: work.end_task(s, "20", None),
    "rest": work.rest,
    "nothing": work.find_nothing,
    "nothing to claim": lambda s: work.find_nothing(s, QUEUE),
    "offer": lambda s: work.offer(s, QUEUE),
}


def reachable() -> dict[WorkState, str]:
    """Every record that changes lead to, with the last of them; counters stop at two."""
    found, new = {WorkState(): ""}, [WorkState()]
    while new:
        state = new.pop()
        for name, change in CHANGES.items():
            after = change(state)
            task = after.task and replace(after.task, reminders=min(after.task.reminders, 2))
            after = replace(after, task=task, fruitless=min(after.fruitless, 2), returned={})
            if after not in found:
                found[after] = name
                new.append(after)
    return found


def test_every_reachable_record_is_one_of_the_table() -> None:
    """Each phase is reached, in the combinations that `work_state` lists, and comes back from the
    store as it was.
    """
    found = reachable()
    assert {state.phase for state in found} == set(Phase)
    for state in found:
        assert _is_listed(state), (found[state], state)
        written = {name: "1" if text == "now" else text for name, text in to_fields(state).items()}
        assert from_fields(written).phase == state.phase


def _is_listed(state: WorkState) -> bool:
    stopped, asked, task = bool(state.pause or state.park), state.asked, state.task is not None
    rules: dict[Phase, Callable[[], bool]] = {
        Phase.PAUSED: lambda: state.pause is not None,
        Phase.PARKED: lambda: state.park is not None and not state.pause,
        Phase.CUT_OFF: lambda: not stopped and state.idle_ms != 0,
        Phase.ANSWERING: lambda: not stopped and asked and not state.cut_off,
        Phase.HANDED: lambda: not (stopped or asked or state.cut_off) and task,
        Phase.IDLE: lambda: not (stopped or asked or task or state.cut_off) and state.idle_ms != 0,
        Phase.WORKING: lambda: not (stopped or asked or task) and state.idle_ms == 0,
    }
    return rules[state.phase]()


def test_a_stop_and_its_end() -> None:
    """A pause keeps the task in hand; parking gave it back; `resume` ends both, and the counts."""
    handed = replace(WorkState(begun=True, fruitless=2, returned={"1": 1}), task=ONE)
    paused = work.pause(handed, " lunch\n", "ann")
    assert (paused.task, paused.stopped, paused.paused_by) == (ONE, "paused: lunch", "ann")
    assert work.lift_pause(paused, "budget") == paused
    assert work.lift_pause(paused, "ann") == handed
    parked = work.park(handed, "it stopped")
    assert (parked.task, parked.idle_ms, parked.stopped) == (None, NOW, "parked: it stopped")
    free = work.resume(work.pause(parked, "x"))
    assert (free.stopped, free.begun, free.fruitless, free.returned) == ("", False, 0, {})


def test_a_person_lets_a_parked_agent_go_on() -> None:
    """A prompt ends the parking and the counts, but no pause; its task counts as untold."""
    told = replace(ONE, mark="a", reminders=3)
    parked = replace(work.park(WorkState(begun=True, fruitless=2), "x"), task=told)
    heard = work.hear_person(parked)
    assert (heard.parked, heard.fruitless, heard.begun, heard.asked) == ("", 0, False, True)
    assert (heard.task, heard.idle_ms) == (ONE, 0)
    assert work.hear_person(work.pause(parked, "lunch")).phase == Phase.PAUSED
    assert work.hear_person(WorkState(begun=True, fruitless=2)).fruitless == 2


def test_an_answer_ends_by_stop_or_by_esc() -> None:
    """Then no new work follows its person for a time; an agent with a task keeps its asker."""
    asked = work.hear_person(WorkState(begun=True))
    for end in (work.end_answer, work.break_off):
        assert (end(asked).asked, end(asked).talked_ms, end(asked).idle_ms) == (False, NOW, NOW)
    with_task = work.break_off(replace(asked, task=ONE))
    assert (with_task.asked, with_task.talked_ms, with_task.phase) == (True, 0, Phase.ANSWERING)


def test_a_new_session_keeps_what_a_person_or_the_guard_said() -> None:
    """Its task and its turns are of the process before; that it was cut off stays true."""
    before = work.break_off(
        work.pause(WorkState(begun=True, task=ONE, fruitless=1, unclaimable=QUEUE), "lunch"),
        cut_off=True,
    )
    after = work.begin_session(before)
    assert (after.task, after.begun, after.unclaimable) == (None, False, None)
    assert (after.paused, after.fruitless, after.cut_off, after.idle_ms) == ("lunch", 1, True, NOW)
    assert work.begin_session(work.end_turn(WorkState())).idle_ms == 0


def test_a_reminder_counts_for_its_task() -> None:
    """From one on; who took up another task begins anew; without a task there is none."""
    once = work.remind(work.hand_over(WorkState(), ONE), "a", asked=True)
    assert (once.task, once.asked) == (replace(ONE, mark="a", reminders=1), True)
    assert not work.is_asked(once), "it was told since"
    assert work.take_up(once, replace(ONE, stage="x")) == once
    assert work.take_up(once, TWO).task == TWO
    assert work.remind(WorkState(), "a", asked=True) == WorkState()


def test_what_came_of_a_task_is_counted_once() -> None:
    """Fruit ends the count; only the task that is in hand counts."""
    handed = replace(WorkState(fruitless=1, returned={"1": 1}), task=ONE)
    assert work.end_task(handed, "20", False) == handed
    none = work.end_task(handed, "10", False)
    assert (none.task, none.fruitless, none.returned) == (None, 2, {"1": 2})
    assert work.end_task(none, "10", False) == none
    assert work.end_task(handed, "10", None) == replace(handed, task=None)
    assert work.end_task(handed, "10", True) == WorkState()


def test_the_longest_unchanged_count_is_forgotten() -> None:
    """As many as `MAX_REMEMBERED` are kept."""
    counts: dict[str, int] = {}
    for number in range(work.MAX_REMEMBERED + 3):
        counts = work.count_return(counts, str(number))
    counts = work.count_return(work.count_return(counts, "5"), "5")
    assert (counts["5"], len(counts), "0" in counts) == (3, work.MAX_REMEMBERED, False)


def test_nothing_to_hand_out_is_remembered() -> None:
    """Until something else waits; a task that is handed out ends it."""
    idle = work.find_nothing(WorkState(asked=True, talked_ms=3), QUEUE)
    assert (idle.phase, idle.unclaimable, idle.talked_ms) == (Phase.IDLE, QUEUE, 0)
    assert work.rest(idle).unclaimable == QUEUE
    assert work.find_nothing(idle).unclaimable is None
    assert work.hand_over(idle, ONE).unclaimable is None
    offered = work.offer(idle, replace(QUEUE, offers=2))
    assert (offered.phase, offered.unclaimable) == (Phase.WORKING, replace(QUEUE, offers=2))
