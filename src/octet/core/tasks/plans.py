"""Plans: new tasks and their dependencies, checked before anything is stored."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from octet.base.errors import UsageError
from octet.base.vocabulary import BUILD, GATES, TASK_ID, WORK_STAGES
from octet.store.scripts import to_json

CAPABILITY_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
MAX_TITLE = 500
MAX_TEXT = 64 * 1024
MAX_PRIORITY = 1000
MAX_TASKS = 1000
MAX_ITEMS = 100


@dataclass(frozen=True)
class NewTask:
    """A task to be added."""

    title: str
    id: str = ""  # "" for the next number
    description: str = ""
    priority: float = 0  # -1000 to 1000 in thousandths; the highest is claimed first
    labels: tuple[str, ...] = ()
    # Globs, relative to the repository, of the paths that the work may touch: its scope. No scopes
    # of two tasks in flight overlap.
    paths: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()  # capabilities that its agent must have
    after: tuple[str, ...] = ()  # ids of the tasks that must be done before
    stage: str = BUILD  # where its path begins: plan, design, build or docs
    gates: tuple[str, ...] = ()  # the rest of its path, merge the last; empty: the project decides
    accept: str = ""  # how to see that it is done
    feature: str = ""  # what it is a part of
    max_attempts: int = 3


def check_plan(plan: Sequence[NewTask]) -> None:
    """Check that these tasks can be stored together. The script checks them against the store.

    Raises:
        UsageError: a field is out of bounds, an id is given twice, or the dependencies form a
            cycle, which the message shows.
    """
    if len(plan) > MAX_TASKS:
        raise UsageError(f"a plan has at most {MAX_TASKS} tasks, not {len(plan)}: split it")
    seen: set[str] = set()
    for task in plan:
        check_task(task)
        if task.id in seen:
            raise UsageError(f"task id {task.id} is given twice: give each task its own")
        seen |= {task.id} - {""}
    if cycle := find_cycle({task.id: task.after for task in plan if task.id}):
        raise UsageError(f"dependencies form a cycle: {' after '.join(cycle)}; remove one of them")


def find_cycle(after: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """A cycle in a graph of dependencies, its first task repeated at its end; empty for none."""
    finished: set[str] = set()
    for start in after:
        path: list[str] = []
        on_path: set[str] = set()
        stack = [(start, False)]
        while stack:
            node, leave = stack.pop()
            if leave:
                finished.add(path.pop())
                on_path.discard(node)
            elif node in on_path:
                return [*path[path.index(node) :], node]
            elif node not in finished and node in after:
                path.append(node)
                on_path.add(node)
                stack.append((node, True))
                stack += [(other, False) for other in reversed(after[node])]
    return []


def check_task(task: NewTask) -> None:
    """Check that a task's fields are within bounds.

    Raises:
        UsageError: one is not.
    """
    if not task.title.strip():
        raise UsageError("a task needs a title")
    if len(task.title) > MAX_TITLE:
        raise UsageError(
            f"a title has at most {MAX_TITLE} characters: put the rest into the description"
        )
    for name, text in (
        ("description", task.description),
        ("acceptance note", task.accept),
        ("feature", task.feature),
    ):
        if len(text) > MAX_TEXT:
            raise UsageError(
                f"the {name} has at most {MAX_TEXT} characters: put the rest into a file of "
                "the repository"
            )
    if not -MAX_PRIORITY <= task.priority <= MAX_PRIORITY:
        raise UsageError(f"priority is -{MAX_PRIORITY} to {MAX_PRIORITY}, not {task.priority:g}")
    if task.id and not TASK_ID.fullmatch(task.id):
        raise UsageError(f"task id {task.id!r}: use letters, digits, '.', '_' and '-' (64 at most)")
    if task.max_attempts < 1:
        raise UsageError(f"max_attempts is 1 or more, not {task.max_attempts}")
    _check_lists(task)


def _check_lists(task: NewTask) -> None:
    for name, values in (
        ("labels", task.labels),
        ("paths", task.paths),
        ("needs", task.needs),
        ("after", task.after),
    ):
        if len(values) > MAX_ITEMS:
            raise UsageError(f"a task has at most {MAX_ITEMS} {name}, not {len(values)}")
    for path in task.paths:
        if not path.strip("/") or len(path) > MAX_TITLE:
            raise UsageError(
                f"path {path[:80]!r}: give a glob relative to the repository, such as src/api/**"
            )
    for need in task.needs:
        check_capability(need)
    if task.stage not in WORK_STAGES:
        raise UsageError(
            f"a task cannot begin at {task.stage!r}: choose one of {', '.join(WORK_STAGES)}"
        )
    check_gates(task.gates)


def check_gates(gates: Sequence[str]) -> None:
    """Check that a task can pass these gates; none means that they are not decided yet.

    Raises:
        UsageError: it cannot.
    """
    if list(gates) != [gate for gate in GATES if gate in gates] or (
        gates and gates[-1] != GATES[-1]
    ):
        raise UsageError(
            f"gates {' '.join(gates)!r}: choose from {', '.join(GATES)}, in this order, merge "
            "the last"
        )


def check_capability(name: str) -> str:
    """The capability's name, if it can be one.

    Raises:
        UsageError: it cannot.
    """
    if not CAPABILITY_PATTERN.fullmatch(name):
        raise UsageError(
            f"capability {name[:80]!r}: use letters, digits, '.', '_', '+' and '-' (64 at most)"
        )
    return name


def pack_task(task: NewTask, created_by: str) -> str:
    """A task as `task/add.lua` takes it."""
    fields = {
        "description": task.description,
        "labels": to_json(list(task.labels)),
        "paths": to_json(list(task.paths)),
        "accept": task.accept,
        "feature": task.feature,
        "gates": " ".join(task.gates),
        "max_attempts": str(task.max_attempts),
        "created_by": created_by,
    }
    return to_json(
        {
            "id": task.id,
            "title": task.title,
            "priority": round(float(task.priority), 3),
            "stage": task.stage,
            "needs": ",".join(sorted(set(task.needs))),
            "after": list(dict.fromkeys(task.after)),
            "fields": [part for pair in fields.items() for part in pair],
        }
    )
