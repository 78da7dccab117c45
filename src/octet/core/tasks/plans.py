"""Plans: new tasks and what they depend on, checked before anything is stored; read from JSON,
Markdown or YAML files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from octet.base.errors import UsageError
from octet.base.vocabulary import BUILD, GATES, TASK_ID, WORK_STAGES

CAPABILITY_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
MOST_TITLE = 500
MOST_TEXT = 64 * 1024
MOST_PRIORITY = 1000
MOST_TASKS = 1000
MOST_ITEMS = 100


@dataclass(frozen=True)
class NewTask:
    """A task to be added.

    Args:
        id: a name of one's own, "" for the next number.
        priority: -1000 to 1000 in thousandths, higher is claimed first.
        paths: globs, relative to the repository, that the work is expected to touch: no two tasks
            in flight overlap in them.
        needs: capabilities that an agent must have to claim it.
        after: ids of tasks that must be done before.
        stage: where its path begins (plan, design, build, docs); gates: the stages that it passes
            after that, merge the last; empty where the project decides when the work is submitted.
        accept: how anybody sees that it is done. feature: what it is a part of.
    """

    title: str
    id: str = ""
    description: str = ""
    priority: float = 0
    labels: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    stage: str = BUILD
    gates: tuple[str, ...] = ()
    accept: str = ""
    feature: str = ""
    max_attempts: int = 3


def check_plan(plan: Sequence[NewTask]) -> None:
    """Whether these tasks can be stored together; what stands in the store already is the script's
    to check.

    Raises:
        UsageError: a field is out of its bounds, an id is there twice, or the dependencies go
            round; the message shows the round.
    """
    if len(plan) > MOST_TASKS:
        raise UsageError(f"a plan has at most {MOST_TASKS} tasks, not {len(plan)}: split it")
    seen: set[str] = set()
    for task in plan:
        check_task(task)
        if task.id in seen:
            raise UsageError(f"task id {task.id} is there twice: give each task its own")
        seen |= {task.id} - {""}
    if cycle := find_cycle({task.id: task.after for task in plan if task.id}):
        raise UsageError(f"dependencies go round: {' after '.join(cycle)}; take one of them out")


def find_cycle(after: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """A round in a graph of dependencies, its first task again as the last; empty when there is
    none. Depth is no limit.
    """
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
    """Whether one task's fields are within their bounds.

    Raises:
        UsageError: one is not.
    """
    if not task.title.strip():
        raise UsageError("a task needs a title")
    if len(task.title) > MOST_TITLE:
        raise UsageError(
            f"a title has at most {MOST_TITLE} characters: put the rest into the description"
        )
    for name, text in (
        ("description", task.description),
        ("acceptance note", task.accept),
        ("feature", task.feature),
    ):
        if len(text) > MOST_TEXT:
            raise UsageError(
                f"the {name} has at most {MOST_TEXT} characters: put the rest into a file of "
                "the repository"
            )
    if not -MOST_PRIORITY <= task.priority <= MOST_PRIORITY:
        raise UsageError(f"priority is -{MOST_PRIORITY} to {MOST_PRIORITY}, not {task.priority:g}")
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
        if len(values) > MOST_ITEMS:
            raise UsageError(f"a task has at most {MOST_ITEMS} {name}, not {len(values)}")
    for path in task.paths:
        if not path.strip("/") or len(path) > MOST_TITLE:
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
    """Whether a task can pass these gates; none means that they are not decided yet.

    Raises:
        UsageError: it cannot.
    """
    if list(gates) != [gate for gate in GATES if gate in gates] or (
        gates and gates[-1] != GATES[-1]
    ):
        raise UsageError(
            f"gates {' '.join(gates)!r}: choose of {', '.join(GATES)}, in this order, merge "
            "the last"
        )


def check_capability(name: str) -> str:
    """The capability's name.

    Raises:
        UsageError: it is none.
    """
    if not CAPABILITY_PATTERN.fullmatch(name):
        raise UsageError(
            f"capability {name[:80]!r}: use letters, digits, '.', '_', '+' and '-' (64 at most)"
        )
    return name
