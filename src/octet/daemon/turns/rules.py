"""What follows the end of an agent's turn: pure rules over what is known of it.

    decide(EndedTurn(state, "build", "developer-2", now_ms, held=(task,), mark="…"), config)
    # Decision("remind", change)

In order: an agent that is stopped stays so; the runaway guard; a task in hand goes on; a person who
talks with the agent is left in peace; then comes the next task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from octet.base.vocabulary import BUILD, DESIGN, DOCS, PLAN
from octet.core.agents import work_changes as work
from octet.core.agents.work_changes import WorkChange
from octet.core.agents.work_state import NOW, HandedTask, WorkState
from octet.core.agents.work_states import CREW_DOWN
from octet.core.tasks.record import Task, TaskState
from octet.project.config import Config

# How often an agent is told that it still holds its task, though it does something for it each
# time.
MAX_REMINDERS = 5
# An agent that gives the same task back this often is not going to do it.
MAX_RETURNS = 2


@dataclass(frozen=True)
class EndedTurn:
    """The end of a turn, as far as the loop goes."""

    state: WorkState  # the agent's record
    stage: str  # that its role serves
    agent: str
    now_ms: int  # the server's clock
    held: tuple[Task, ...] = ()  # what it holds, the first claimed first
    ended: Task | None = None  # the task it was assigned last, where it holds that no more
    judged: bool = False  # whether it has given a verdict on `ended`
    mark: str = ""  # stays the same as long as nothing is done for the task in hand
    waits: bool = False  # whether something in the background will wake the session


@dataclass(frozen=True)
class Decision:
    """What follows, and how the agent's record changes with it. `reason` is why it is parked."""

    kind: Literal["idle", "remind", "assign", "park"]
    change: WorkChange = work.unchanged
    reason: str = ""


def decide(turn: EndedTurn, config: Config) -> Decision:
    """What follows the end of a turn; pure."""
    settled, before = settle(turn), turn.state
    goes_down = before.paused_by == CREW_DOWN  # what it has in hand it is to finish
    if before.stopped and not (goes_down and turn.held):
        return Decision("idle", _then(settled, work.end_turn))
    if reason := _runs_away(before, settled(before), config):
        return Decision("park", settled, reason)
    if turn.held:
        return _with_task(turn, settled)
    if turn.waits:
        return Decision("idle", _then(settled, work.end_turn))
    if before.begun and before.asked and not before.task:  # the whole turn was the person's
        return Decision("idle", _then(settled, work.end_answer))
    if before.talked_ms and turn.now_ms - before.talked_ms < config.crew_quiet_s * 1000:
        return Decision("idle", _then(settled, work.end_turn))
    return Decision("assign", settled)


def settle(turn: EndedTurn) -> WorkChange:
    """How the record changes for a task that the agent was assigned and holds no more: whether it
    came to something.
    """
    task = turn.state.task
    if not task or any(held.token == task.token for held in turn.held):
        return work.unchanged
    fruitful = _came_to_something(turn, task)
    return lambda state: work.end_task(state, task.token, fruitful)


def _then(first: WorkChange, second: WorkChange) -> WorkChange:
    return lambda state: second(first(state))


def _came_to_something(turn: EndedTurn, handed: HandedTask) -> bool | None:
    """Whether the task that has ended has a result; None where that is not the agent's doing."""
    task = turn.ended
    if task is None or task.state == TaskState.CANCELLED:
        return None
    if handed.stage in (PLAN, DESIGN):
        return task.state in (TaskState.DONE, TaskState.SUBMITTED) or (
            task.author == turn.agent and task.commit != handed.base
        )
    if handed.stage in (BUILD, DOCS):
        return task.author == turn.agent and task.commit not in ("", handed.base)
    if task.commit != handed.base:
        return None  # its author has put another commit there meanwhile
    return turn.judged


def _runs_away(before: WorkState, after: WorkState, config: Config) -> str:
    if not before.task or after.fruitless <= before.fruitless:
        return ""
    times = after.returned[before.task.id]
    if times >= MAX_RETURNS:
        return f"it ended task {before.task.id} without a result {times} times"
    if after.fruitless >= config.crew_max_without_commit:
        return f"{after.fruitless} tasks in a row came to no commit"
    return ""


def _with_task(turn: EndedTurn, settled: WorkChange) -> Decision:
    task, before = turn.held[0], turn.state

    def taken_up(state: WorkState) -> WorkState:
        return work.take_up(settled(state), in_hand(task, task.stage))

    if turn.waits:
        return Decision("idle", _then(taken_up, work.end_turn))
    known = before.task if before.task and before.task.token == task.token else None
    if known and known.mark == turn.mark:
        if before.asked:  # it was told, and its person talks with it: whether it goes on is theirs
            return Decision("idle", _then(settled, work.end_turn))
        reason = f"it stopped twice with task {task.id} in hand, and did nothing for it in between"
        return Decision("park", settled, reason)
    reminders = known.reminders + 1 if known else 1
    if reminders > MAX_REMINDERS:
        return Decision(
            "park", settled, f"it stopped {reminders} times with task {task.id} in hand"
        )
    asked = work.is_asked(before)
    return Decision("remind", lambda state: work.remind(taken_up(state), turn.mark, asked=asked))


def in_hand(task: Task, stage: str) -> HandedTask:
    """A task as it is assigned, or taken up, now."""
    return HandedTask(task.id, task.token, stage, task.commit, NOW)
