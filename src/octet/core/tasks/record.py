"""A task's record: its states, the stages of its path, and its fields."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from octet.base.vocabulary import BUILD, GATES, MERGE, REVIEW, ROLE_OF_STAGE, SECURITY, TEST
from octet.store.scripts import from_json


class TaskState(StrEnum):
    """A task's place in its life. Failed work and requested changes are `pending` again."""

    BLOCKED = "blocked"  # waits for other tasks
    PENDING = "pending"  # waits to be claimed
    CLAIMED = "claimed"
    SUBMITTED = "submitted"  # waits for a gate
    IN_REVIEW = "in-review"
    TESTING = "testing"
    MERGING = "merging"
    DONE = "done"
    DEAD = "dead"  # its last attempt failed
    CANCELLED = "cancelled"


HELD_STATES = (TaskState.CLAIMED, TaskState.IN_REVIEW, TaskState.TESTING, TaskState.MERGING)


@dataclass(frozen=True)
class Stage:
    """A step of a task's path: the state of a task that waits for it, and of one in work there."""

    name: str
    waiting: TaskState
    working: TaskState
    role: str  # that serves it


_AT_GATE = {
    REVIEW: TaskState.IN_REVIEW,
    SECURITY: TaskState.IN_REVIEW,
    TEST: TaskState.TESTING,
    MERGE: TaskState.MERGING,
}
# A task's own path is data: its `work` stage, where it begins, and then its `gates`.
STAGES = {
    name: Stage(name, TaskState.SUBMITTED, _AT_GATE[name], role)
    if name in GATES
    else Stage(name, TaskState.PENDING, TaskState.CLAIMED, role)
    for name, role in ROLE_OF_STAGE.items()
}


class FailedAttempt(NamedTuple):
    """An attempt at a task, or at one of its gates, that ended without a result."""

    attempt: int
    stage: str  # the work's stage, or the gate
    agent: str
    reason: str
    at_ms: int


@dataclass(frozen=True)
class Task:
    """One task when it was read. Times are server time in ms since the epoch, 0 for never."""

    id: str
    title: str
    state: str
    stage: str = BUILD  # where it is on its path
    work: str = BUILD  # where its path begins
    gates: tuple[str, ...] = ()  # the rest of its path; empty until it is submitted
    priority: float = 0
    description: str = ""
    labels: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()  # globs of its scope
    needs: tuple[str, ...] = ()  # capabilities that its agent must have
    after: tuple[str, ...] = ()  # the tasks it depends on
    accept: str = ""  # how to see that it is done
    feature: str = ""
    holder: str = ""  # the agent of the current claim
    token: str = ""  # of the current claim
    attempts: int = 0  # at its work
    max_attempts: int = 3
    gate_attempts: int = 0  # failed ones at its present gate
    progress: float = 0  # percent
    note: str = ""
    author: str = ""  # the agent that submitted it
    branch: str = ""
    commit: str = ""
    merge_commit: str = ""
    result: str = ""
    findings: str = ""  # the changes that a gate asked for
    last_reason: str = ""  # why it was requeued
    ended: tuple[FailedAttempt, ...] = ()
    rescue_ref: str = ""  # the snapshot of a dead agent's uncommitted work
    rescue_size: str = ""
    created_by: str = ""
    created_ms: int = 0
    claimed_ms: int = 0
    updated_ms: int = 0
    done_ms: int = 0

    @classmethod
    def from_hash(cls, fields: dict[str, str]) -> Task:
        """A task from its Redis hash; a field that was spoiled by hand has its default."""
        known = {name: fields[name] for name in cls.__dataclass_fields__ if name in fields}
        values: dict[str, object] = dict(known)
        for name in (
            "attempts",
            "max_attempts",
            "gate_attempts",
            "created_ms",
            "claimed_ms",
            "updated_ms",
            "done_ms",
        ):
            values[name] = int(_number(known.get(name)))
        for name in ("priority", "progress"):
            values[name] = _number(known.get(name))
        for name in ("labels", "paths", "after"):
            values[name] = _strings(known.get(name))
        values["ended"] = _ended(known.get("ended"))
        values["needs"] = tuple(part for part in known.get("needs", "").split(",") if part)
        values["gates"] = tuple(gate for gate in GATES if gate in known.get("gates", "").split())
        values.setdefault("id", "")
        values.setdefault("title", "")
        values.setdefault("state", "")
        return cls(**values)  # type: ignore[arg-type]


def _number(text: str | None) -> float:
    try:
        number = float((text or "0").rstrip("%"))
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _ended(text: str | None) -> tuple[FailedAttempt, ...]:
    try:
        found = from_json(text or "[]")
    except ValueError:
        return ()
    return (
        tuple(ended for entry in found if (ended := _end_of(entry)))
        if isinstance(found, list)
        else ()
    )


def _end_of(entry: object) -> FailedAttempt | None:
    try:
        attempt, stage, agent, reason, at_ms = (entry[name] for name in FailedAttempt._fields)  # type: ignore[index]
        return FailedAttempt(int(attempt), str(stage), str(agent), str(reason), int(at_ms))
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def _strings(text: str | None) -> tuple[str, ...]:
    try:
        found = from_json(text or "[]")
    except ValueError:
        return ()
    return tuple(str(item) for item in found) if isinstance(found, list) else ()
