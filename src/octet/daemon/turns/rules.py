"""What follows the end of an agent's turn: pure rules over what is known of it.

decide(Turn(standing, "build", "developer-2", now_ms, held=(task,), mark="…"), config)      #
Step("remind", {…})

In order: who is stopped stays so; the runaway guard; a task in hand goes on; a person who talks
with the agent is left in peace; then comes the next task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from octet.base.vocabulary import BUILD, DESIGN, DOCS, PLAN
from octet.core.agents.work_state import CREW_DOWN, Standing, more_returns, packed
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

    standing: Standing
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
    """What follows, and what is noted of it. `reason` is why an agent is parked."""

    kind: Literal["idle", "remind", "hand", "park"]
    changes: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


IDLE = {"begun": "1", "idle_ms": "now", "cut": ""}
AT_WORK = {"begun": "1", "idle_ms": "", "cut": ""}


def decide(turn: Turn, config: Config) -> Step:
    """What follows the end of a turn; pure."""
    settled = settle(turn)
    after = replace(turn.standing, barren=int(settled.get("barren", turn.standing.barren) or 0))
    goes_down = turn.standing.paused_by == CREW_DOWN  # what it has in hand it is to finish
    if after.stopped and not (goes_down and turn.held):
        return Step("idle", {**settled, **IDLE})
    if reason := _runs_away(turn, settled, config):
        return Step("park", settled, reason)
    if turn.held:
        return _with_task(turn, settled)
    if turn.waits:
        return Step("idle", {**settled, **IDLE})
    if (
        after.begun and after.asked and not after.task
    ):  # this turn was the person's, from beginning to end
        return Step("idle", {**settled, **IDLE, "asked": "", "talked_ms": "now"})
    if after.talked_ms and turn.now_ms - after.talked_ms < config.crew_quiet_s * 1000:
        return Step("idle", {**settled, **IDLE})
    return Step("hand", settled)


def settle(turn: Turn) -> dict[str, str]:
    """What is noted of a task that the agent was handed and holds no more: whether something came
    of it.
    """
    before = turn.standing
    if not before.task or any(task.token == before.token for task in turn.held):
        return {}
    ended = dict.fromkeys(("task", "token", "base", "told", "reminders"), "")
    fruit = _fruit(turn)
    if fruit is None:
        return ended
    if fruit:
        return {**ended, "barren": "", "returns": ""}
    return {
        **ended,
        "barren": str(before.barren + 1),
        "returns": packed(more_returns(before.returns, before.task)),
    }


def _fruit(turn: Turn) -> bool | None:
    """Whether the task that has ended came to something; None where that is not the agent's doing."""
    before, task = turn.standing, turn.ended
    if task is None or task.state == TaskState.CANCELLED:
        return None
    if before.stage in (PLAN, DESIGN):
        return task.state in (TaskState.DONE, TaskState.SUBMITTED) or (
            task.author == turn.agent and task.commit != before.base
        )
    if before.stage in (BUILD, DOCS):
        return task.author == turn.agent and task.commit not in ("", before.base)
    if task.commit != before.base:
        return None  # its author has put another commit there meanwhile
    return turn.judged


def _runs_away(turn: Turn, settled: Mapping[str, str], config: Config) -> str:
    if not settled.get("barren"):
        return ""
    times = turn.standing.returns.get(turn.standing.task, 0) + 1
    if times >= MOST_RETURNS:
        return f"it ended task {turn.standing.task} without a result {times} times"
    count = int(settled["barren"])
    return (
        f"{count} tasks in a row came to no commit"
        if count >= config.crew_most_without_commit
        else ""
    )


def _with_task(turn: Turn, settled: Mapping[str, str]) -> Step:
    task, before = turn.held[0], turn.standing
    if turn.waits:
        return Step("idle", {**settled, **IDLE, **_of(task, before)})
    if task.token == before.token and before.told == turn.mark:
        if (
            before.asked
        ):  # its person talks with it, and it was told: whether it goes on is between the two
            return Step("idle", {**settled, **IDLE})
        return Step(
            "park",
            settled,
            f"it stopped twice with task {task.id} in hand, and did nothing for it in between",
        )
    reminders = before.reminders + 1 if task.token == before.token else 1
    if reminders > MOST_REMINDERS:
        return Step("park", settled, f"it stopped {reminders} times with task {task.id} in hand")
    noted = {
        "told": turn.mark,
        "reminders": str(reminders),
        "asked": "1" if answers(before) else "",
    }
    return Step("remind", {**settled, **AT_WORK, **_of(task, before), **noted})


def answers(standing: Standing) -> bool:
    """Whether a person's prompt has come since the agent last went on with its task."""
    return standing.asked and not standing.told


def _of(task: Task, before: Standing) -> dict[str, str]:
    """Fields of a task in hand; nothing for the one that is known."""
    if task.token == before.token:
        return {}
    return {
        "task": task.id,
        "token": task.token,
        "stage": task.stage,
        "base": task.commit,
        "given_ms": "now",
    }
