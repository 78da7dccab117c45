"""What follows the end of an agent's turn: pure rules over what is known of it.

    decide(Turn(state, "build", "developer-2", now_ms, held=(task,), mark="…"), config)
    # Step("remind", change)

In order: an agent that is stopped stays so; the runaway guard; a task in hand goes on; a person who
talks with the agent is left in peace; then comes the next task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from octet.base.vocabulary import BUILD, DESIGN, DOCS, PLAN
from octet.core.agents import work_changes as work
from octet.core.agents.work_changes import Change
from octet.core.agents.work_state import NOW, HandedTask, WorkState
from octet.core.agents.work_states import CREW_DOWN
from octet.core.tasks.record import Task, TaskState
from octet.project.config import Config

# So often an agent that does something for its task each time is told that it still holds it.
MOST_REMINDERS = 5
# The same task given back so often by one agent is not going to be done by it.
MOST_RETURNS = 2


@dataclass(frozen=True)
class Turn:
    """The end of a turn, as far as the loop goes. `held`: what the agent holds, the first claimed
    first.

    `ended` is what became of the task it was handed last, where that is not held any more, and
    `judged` whether the agent has judged it. `mark` is the same as long as nothing was done for the
    task. `waits`: something that runs in the background will wake the session.
    """

    state: WorkState
    stage: str
    agent: str
    now_ms: int
    held: tuple[Task, ...] = ()
    ended: Task | None = None
    judged: bool = False
    mark: str = ""
    waits: bool = False


@dataclass(frozen=True)
class Step:
    """What follows, and how the agent's record changes with it. `reason` is why it is parked."""

    kind: Literal["idle", "remind", "hand", "park"]
    change: Change = work.unchanged
    reason: str = ""


def decide(turn: Turn, config: Config) -> Step:
    """What follows the end of a turn; pure."""
    settled, before = settle(turn), turn.state
    goes_down = before.paused_by == CREW_DOWN  # what it has in hand it is to finish
    if before.stopped and not (goes_down and turn.held):
        return Step("idle", _then(settled, work.end_turn))
    if reason := _runs_away(before, settled(before), config):
        return Step("park", settled, reason)
    if turn.held:
        return _with_task(turn, settled)
    if turn.waits:
        return Step("idle", _then(settled, work.end_turn))
    if before.begun and before.asked and not before.task:  # the whole turn was the person's
        return Step("idle", _then(settled, work.end_answer))
    if before.talked_ms and turn.now_ms - before.talked_ms < config.crew_quiet_s * 1000:
        return Step("idle", _then(settled, work.end_turn))
    return Step("hand", settled)


def settle(turn: Turn) -> Change:
    """What is noted of a task that the agent was handed and holds no more: whether something came
    of it.
    """
    task = turn.state.task
    if not task or any(held.token == task.token for held in turn.held):
        return work.unchanged
    fruitful = _fruit(turn, task)
    return lambda state: work.end_task(state, task.token, fruitful)


def _then(first: Change, second: Change) -> Change:
    return lambda state: second(first(state))


def _fruit(turn: Turn, handed: HandedTask) -> bool | None:
    """Whether the task that has ended came to something; None where that is not the agent's doing."""
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
    if times >= MOST_RETURNS:
        return f"it ended task {before.task.id} without a result {times} times"
    if after.fruitless >= config.crew_most_without_commit:
        return f"{after.fruitless} tasks in a row came to no commit"
    return ""


def _with_task(turn: Turn, settled: Change) -> Step:
    task, before = turn.held[0], turn.state

    def taken_up(state: WorkState) -> WorkState:
        return work.take_up(settled(state), in_hand(task, task.stage))

    if turn.waits:
        return Step("idle", _then(taken_up, work.end_turn))
    known = before.task if before.task and before.task.token == task.token else None
    if known and known.mark == turn.mark:
        if before.asked:  # it was told, and its person talks with it: whether it goes on is theirs
            return Step("idle", _then(settled, work.end_turn))
        reason = f"it stopped twice with task {task.id} in hand, and did nothing for it in between"
        return Step("park", settled, reason)
    reminders = known.reminders + 1 if known else 1
    if reminders > MOST_REMINDERS:
        return Step("park", settled, f"it stopped {reminders} times with task {task.id} in hand")
    asked = work.is_asked(before)
    return Step("remind", lambda state: work.remind(taken_up(state), turn.mark, asked=asked))


def in_hand(task: Task, stage: str) -> HandedTask:
    """A task as it is handed out, or taken up, now."""
    return HandedTask(task.id, task.token, stage, task.commit, NOW)
