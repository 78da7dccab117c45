"""The graph of tasks and their dependencies: as a tree for terminals, for Graphviz, for Mermaid."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from octet.base.text import plain
from octet.core.tasks.record import Task, TaskState

Graph = Mapping[str, Task]
OVER = frozenset({TaskState.DONE, TaskState.CANCELLED})
MAX_LABEL = 60


def connected(tasks: Graph, start: str) -> Graph:
    """A task with its dependencies and its dependents, at any distance."""
    children = _children(tasks)
    found = {start}
    for step in (lambda task_id: tasks[task_id].after, lambda task_id: children.get(task_id, ())):
        todo = [start]
        while todo:
            todo = [
                other
                for task_id in todo
                for other in step(task_id)
                if other in tasks and other not in found
            ]
            found |= set(todo)
    return {task_id: task for task_id, task in tasks.items() if task_id in found}


def unfinished(tasks: Graph) -> Graph:
    """The graph without tasks that are over, unless an unfinished task depends on them."""
    needed = {other for task in tasks.values() if task.state not in OVER for other in task.after}
    return {
        task_id: task
        for task_id, task in tasks.items()
        if task.state not in OVER or task_id in needed
    }


def render_tree(tasks: Graph) -> str:
    """A line for each task, below its dependencies; a task with several is written out once."""
    children, lines, shown = _children(tasks), list[str](), set[str]()
    roots = [
        task_id
        for task_id, task in tasks.items()
        if not any(other in tasks for other in task.after)
    ]
    todo = [(task_id, 0) for task_id in reversed(roots)]
    while todo:
        task_id, depth = todo.pop()
        again = task_id in shown
        lines.append("  " * depth + _line(tasks[task_id], tasks, again))
        shown.add(task_id)
        if not again:
            todo += [(child, depth + 1) for child in reversed(children.get(task_id, []))]
    return "\n".join(lines)


def render_dot(tasks: Graph) -> str:
    """The graph in Graphviz's language; an arrow leads to a task that may begin after."""
    nodes = [f"  {_quoted(task.id)} [label={_quoted(_label(task))}];" for task in tasks.values()]
    edges = [f"  {_quoted(before)} -> {_quoted(after)};" for before, after in _edges(tasks)]
    return "\n".join(["digraph tasks {", "  rankdir=LR; node [shape=box];", *nodes, *edges, "}"])


def render_mermaid(tasks: Graph) -> str:
    """The graph as a Mermaid flowchart."""
    names = {task_id: f"t{number}" for number, task_id in enumerate(tasks)}
    nodes = [f'  {names[task.id]}["{_entities(_label(task))}"]' for task in tasks.values()]
    return "\n".join(
        [
            "flowchart LR",
            *nodes,
            *(f"  {names[before]} --> {names[after]}" for before, after in _edges(tasks)),
        ]
    )


def stuck_on(task: Task, tasks: Graph) -> Sequence[str]:
    """The dependencies that will never be done by themselves: dead, cancelled, or missing."""
    return [
        f"{other} ({tasks[other].state})" if other in tasks else f"{other} (missing)"
        for other in task.after
        if _lost(other, tasks)
    ]


def _lost(task_id: str, tasks: Graph) -> bool:
    return task_id not in tasks or tasks[task_id].state in {TaskState.DEAD, TaskState.CANCELLED}


def _children(tasks: Graph) -> dict[str, list[str]]:
    children: dict[str, list[str]] = {}
    for before, after in _edges(tasks):
        children.setdefault(before, []).append(after)
    return children


def _edges(tasks: Graph) -> Iterator[tuple[str, str]]:
    for task in tasks.values():
        yield from ((other, task.id) for other in task.after if other in tasks)


def _line(task: Task, tasks: Graph, again: bool) -> str:
    if again:
        return f"{task.id} (above)"
    waits = [
        other for other in task.after if other in tasks and tasks[other].state != TaskState.DONE
    ]
    also = f"  after {', '.join(waits)}" if len(waits) > 1 else ""
    lost = [other for other in task.after if other in tasks and _lost(other, tasks)]
    stuck = (
        f"  stuck: {', '.join(f'{other} is {tasks[other].state}' for other in lost)}"
        if lost and task.state == TaskState.BLOCKED
        else ""
    )
    return (
        f"{task.id} [{task.state}] "
        f"{plain(task.title)}{f'  {task.holder}' if task.holder else ''}{also}{stuck}"
    )


def _label(task: Task) -> str:
    return f"{task.id}: {plain(task.title)[:MAX_LABEL]} ({task.state})"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _entities(text: str) -> str:
    """The text with everything that Mermaid could take for syntax as numbered entities."""
    return re.sub(r"[^\w .,:()/+-]", lambda found: f"#{ord(found[0])};", text)
