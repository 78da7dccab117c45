"""How an agent's work state changes: each change is a pure function from record to record.

    octet.work_states.change(agent, lambda state: hand_over(state, task, "build"))

A time that is `NOW` becomes the server's when the record is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from octet.base.text import plain
from octet.core.agents.work_state import (
    MAX_REASON,
    NOW,
    HandedTask,
    Park,
    Pause,
    Unclaimable,
    WorkState,
)

WorkChange = Callable[[WorkState], WorkState]
# Of so many tasks it is remembered how often the agent gave them back.
MAX_REMEMBERED = 16


def unchanged(state: WorkState) -> WorkState:
    return state


# Stopped and let go on


def pause(state: WorkState, reason: str, by: str = "") -> WorkState:
    """Nothing is handed to it; what it holds it keeps."""
    return replace(state, pause=Pause(clip_reason(reason), by, NOW))


def lift_pause(state: WorkState, by: str) -> WorkState:
    """Its pause is over if it is by that."""
    return replace(state, pause=None) if state.paused_by == by else state


def park(state: WorkState, reason: str) -> WorkState:
    """The runaway guard stops it, and what it held has been given back."""
    return replace(state, park=Park(clip_reason(reason), NOW), idle_ms=NOW, task=None)


def resume(state: WorkState) -> WorkState:
    """It is handed work again, and the runaway guard and the loop begin anew."""
    return replace(_start_anew(state), pause=None, asked=False, talked_ms=0, unclaimable=None)


def _start_anew(state: WorkState) -> WorkState:
    return replace(state, park=None, fruitless=0, returned={}, begun=False)


def clip_reason(reason: str) -> str:
    """A reason as it is kept."""
    return plain(reason.strip(), MAX_REASON)


# Sessions and turns


def begin_session(state: WorkState) -> WorkState:
    """What it was handed in another process is not in its hands now, and its first turn begins the
    loop. That it was cut off stays true: its task still waits for it.
    """
    return WorkState(
        pause=state.pause,
        park=state.park,
        idle_ms=state.idle_ms if state.cut_off else 0,
        cut_off=state.cut_off,
        fruitless=state.fruitless,
        returned=state.returned,
        version=state.version,
    )


def hear_person(state: WorkState) -> WorkState:
    """A person's prompt has come: a parked agent goes on, and nothing was said of a task in hand
    since.
    """
    heard = _start_anew(state) if state.park else state
    task = replace(state.task, mark="", reminders=0) if state.task else None
    return replace(heard, asked=True, idle_ms=0, cut_off=False, task=task)


def end_turn(state: WorkState) -> WorkState:
    """Its turn has ended, and the loop has nothing for it."""
    return replace(state, begun=True, idle_ms=NOW, cut_off=False)


def end_answer(state: WorkState) -> WorkState:
    """The turn that ended was a person's, from beginning to end."""
    return replace(end_turn(state), asked=False, talked_ms=NOW)


def go_on(state: WorkState) -> WorkState:
    """Its turn goes on, because the loop says so."""
    return replace(state, begun=True, idle_ms=0, cut_off=False)


def break_off(state: WorkState, *, cut_off: bool = False) -> WorkState:
    """Its turn has ended without a Stop: by Esc, or (`cut_off`) by an error of the API."""
    answered = state.asked and not state.task
    return replace(
        state,
        idle_ms=NOW,
        cut_off=cut_off,
        asked=state.asked and not answered,
        talked_ms=NOW if answered else state.talked_ms,
    )


# The task in hand


def hand_over(state: WorkState, task: HandedTask) -> WorkState:
    """It has been handed a task, and its turn goes on."""
    return replace(go_on(state), task=task, asked=False, talked_ms=0, unclaimable=None)


def take_up(state: WorkState, task: HandedTask) -> WorkState:
    """The task in its hands is that: known already, or claimed by the agent itself."""
    return state if state.task and state.task.token == task.token else replace(state, task=task)


def remind(state: WorkState, mark: str, *, asked: bool) -> WorkState:
    """It is told that it still holds its task, for which `mark` had been done; `asked`: in answer
    to a person's prompt.
    """
    if not state.task:
        return state
    task = replace(state.task, mark=mark, reminders=state.task.reminders + 1)
    return replace(go_on(state), task=task, asked=asked)


def is_asked(state: WorkState) -> bool:
    """Whether a person's prompt has come since the agent last went on with its task."""
    return state.asked and not (state.task and state.task.mark)


def end_task(state: WorkState, token: str, fruitful: bool | None) -> WorkState:
    """It no longer holds the task of that token; the runaway guard counts what came of it (None:
    nothing, and not by the agent's doing).
    """
    if not state.task or state.task.token != token:
        return state
    ended = replace(state, task=None)
    if fruitful is None:
        return ended
    if fruitful:
        return replace(ended, fruitless=0, returned={})
    returned = count_return(state.returned, state.task.id)
    return replace(ended, fruitless=state.fruitless + 1, returned=returned)


def count_return(before: Mapping[str, int], task: str) -> dict[str, int]:
    """The counts with one more of a task; the longest unchanged is forgotten."""
    counted = {name: count for name, count in before.items() if name != task}
    return dict(list({**counted, task: before.get(task, 0) + 1}.items())[-MAX_REMEMBERED:])


# Nothing to hand out


def rest(state: WorkState) -> WorkState:
    """Its turn has ended, and no person keeps work from it."""
    return replace(end_turn(state), asked=False, talked_ms=0)


def find_nothing(state: WorkState, found: Unclaimable | None = None) -> WorkState:
    """Its turn has ended, because nothing could be handed to it (`found`: of what waits)."""
    return replace(rest(state), unclaimable=found)


def offer(state: WorkState, found: Unclaimable) -> WorkState:
    """It is told of work that its own command claims, and its turn goes on."""
    return replace(go_on(state), asked=False, talked_ms=0, unclaimable=found)
