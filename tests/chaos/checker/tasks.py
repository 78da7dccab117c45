"""Tasks: invariants 1 and 2, each task an object of its own.

A claim's answer names its task, so that each task has a history of its own. A claim without an
answer may have been given any task: it has no place in a task's history until a read shows that
task with its agent as the holder. An agent has one claim at a time, and a claim repeated after a
lost answer is given the same task again; so where an agent has lost an answer, its claim may have
taken effect at any time since it gave up the one before. That nothing waits ("empty") is about all
tasks at once and is not checked here; that none is stuck is, by the reads at the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from tests.chaos.checker.lives import Life
from tests.chaos.checker.objects import check_object, ended_by
from tests.chaos.checker.violation import Violation
from tests.chaos.history import Operation

HELD_NAMES = {
    "build": "claimed",
    "review": "in-review",
    "security": "in-review",
    "test": "testing",
    "merge": "merging",
}
WRITES = {"progress", "submit", "pass", "complete", "fail", "release", "send_back"}
ENDS = WRITES - {"progress"}


class Task(NamedTuple):
    """`phase` is "" (not there), waiting, held or done; `token` that of the last claim."""

    phase: str = ""
    stage: str = "build"
    gates: tuple[str, ...] = ()
    holder: str = ""
    token: int = 0
    submitted: bool = False

    @property
    def state(self) -> str:
        """As the product names it."""
        if self.phase == "waiting":
            return "pending" if self.stage == "build" else "submitted"
        return HELD_NAMES[self.stage] if self.phase == "held" else self.phase

    def waits_at(self, stage: str) -> Task:
        return self._replace(phase="waiting", stage=stage, holder="")


class TaskModel:
    """One task."""

    start = Task()

    def step(self, task: Task, op: Operation) -> Task | None:
        match op.name:
            case "add":
                return Task("waiting") if not task.phase else None
            case "claim":
                return _claim(task, op)
            case "retire":
                held = task.phase == "held" and task.holder == op.arguments["agent"]
                return task.waits_at(task.stage) if held else task
            case "get":
                return task if _is_seen(task, op) else None
        return _write(task, op)

    def likeness(self, op: Operation) -> Hashable:
        return (
            op.name,
            op.arguments.get("token"),
            op.arguments.get("agent"),
            op.arguments.get("stage"),
        )


def _claim(task: Task, op: Operation) -> Task | None:
    agent, stage, token = op.arguments["agent"], op.arguments["stage"], int(op.answer["token"])
    if task.phase == "held" and task.holder == agent and task.token == token:
        return task  # given again
    if task.phase != "waiting" or task.stage != stage or token <= task.token:
        return None
    return task._replace(phase="held", holder=agent, token=token)


def _write(task: Task, op: Operation) -> Task | None:
    """A write with a token: the one in force does what it says, any other nothing."""
    in_force = task.phase == "held" and task.token == int(op.arguments["token"])
    repeated = (
        op.name == "complete" and task.phase == "done" and task.token == int(op.arguments["token"])
    )
    if op.outcome in ("stale", "missing"):
        return task if not in_force and not repeated else None
    after = task if repeated else _written(task, op) if in_force else None
    if op.outcome == "state":
        return task if in_force and after is None else None
    said = op.answer.get("state")
    return after if after is None or said is None or said in (after.state, after.stage) else None


def _written(task: Task, op: Operation) -> Task | None:
    building, following = (
        task.stage == "build",
        task.gates[task.gates.index(task.stage) + 1 :] if task.stage in task.gates else (),
    )
    match op.name:
        case "progress":
            return task
        case "submit":
            gates = tuple(op.arguments["gates"])
            return (
                task._replace(gates=gates, submitted=True).waits_at(gates[0]) if building else None
            )
        case "pass":
            return task.waits_at(following[0]) if not building and following else None
        case "send_back":
            return task.waits_at("build") if not building else None
        case "complete":
            ends = not task.submitted if building else task.stage == "merge"
            return task._replace(phase="done", holder="") if ends else None
        case "fail" | "release":
            return task.waits_at(task.stage)
    raise AssertionError(op.name)


def _is_seen(task: Task, op: Operation) -> bool:
    """Whether a reader may see this."""
    if op.outcome == "missing":
        return not task.phase
    return (op.answer["state"], op.answer["holder"], int(op.answer["token"] or 0)) == (
        task.state,
        task.holder,
        task.token,
    )


def check_tasks(operations: Sequence[Operation], lives: dict[str, Life]) -> Iterator[Violation]:
    """Every task's history on its own."""
    tasks: dict[str, list[Operation]] = defaultdict(list)
    lost = dict[str, list[Operation]]()
    for op in _with_repeats(operations):
        key = op.arguments.get("task") or op.answer.get("task")
        if op.name == "claim" and op.answered is None:
            lost.setdefault(op.arguments["agent"], []).append(op)
        elif key and (
            op.name in {"add", "claim", *WRITES} or (op.name == "get" and op.answered is not None)
        ):
            tasks[key].append(op)
    for key, own in tasks.items():
        whole = [*own, *_unheard(own, lost)]
        holders = {op.arguments["agent"] for op in whole if op.name == "claim"}
        yield from check_object(
            f"task {key}", [*whole, *ended_by(holders, lives)], TaskModel(), _invariant
        )
        yield from _stuck(key, own)


def _with_repeats(operations: Iterable[Operation]) -> Iterator[Operation]:
    """The operations, a claim that repeats one whose answer was lost begun when that may have taken
    effect.
    """
    lost_since: dict[str, int] = {}
    gave_up: dict[str, int] = {}
    for op in operations:
        agent = op.arguments.get("agent", "")
        if op.name == "claim" and op.answered is None:
            lost_since.setdefault(agent, op.invoked)
        elif op.name == "claim" and op.ok and agent in lost_since:
            op = replace(op, invoked=min(op.invoked, max(lost_since[agent], gave_up.get(agent, 0))))
        elif op.name in ENDS:
            gave_up[agent] = op.invoked
        yield op


def _unheard(own: Sequence[Operation], lost: dict[str, list[Operation]]) -> Iterator[Operation]:
    """Claims whose answer was lost, where a reader saw that they had been given this task."""
    known = {(op.arguments["agent"], int(op.answer["token"])) for op in own if op.name == "claim"}
    for op in own:
        seen = (
            (op.answer.get("holder", ""), int(op.answer.get("token") or 0))
            if op.name == "get" and op.ok
            else ("", 0)
        )
        if seen[0] and seen not in known:
            known.add(seen)
            stage = next(
                (stage for stage, state in HELD_NAMES.items() if state == op.answer["state"]),
                "build",
            )
            for claim in [
                c
                for c in lost.get(seen[0], [])
                if c.invoked < (op.answered or 0) and c.arguments["stage"] == stage
            ][-1:]:
                yield replace(
                    claim, answered=op.answered, answer={"outcome": "ok", "token": str(seen[1])}
                )


def _stuck(key: str, own: Sequence[Operation]) -> Iterator[Violation]:
    """At the end no agent is left: a task that is held is held by a dead one."""
    for op in own:
        if op.name == "get" and op.arguments.get("last") and op.answer.get("holder"):
            yield Violation(
                2,
                f"task {key}",
                f"is stuck with {op.answer['holder']}, who is dead",
                tuple(own[-6:]),
            )


def _invariant(op: Operation) -> int:
    return 2 if op.name in ("get", "add") else 1
