"""`octet task import` and `octet task graph`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from octet.base.errors import NotFound, UsageError
from octet.base.text import plain
from octet.cli._common.caller import caller
from octet.cli._common.context import opened
from octet.cli._common.output import emit, json_option
from octet.core.tasks.graph import connected, render_dot, render_mermaid, render_tree, unfinished
from octet.core.tasks.plan_files import Planned, read_plan
from octet.core.tasks.plans import check_plan

MAX_DRAWN = 10_000


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def import_plan(file: Path, as_json: bool) -> None:
    """Add all tasks of a plan (.json, .md, .yaml) or none; they may depend on each other."""
    plan = read_plan(file)
    try:
        check_plan([planned.task for planned in plan])
        with opened() as octet:
            tasks = octet.tasks.add_many([planned.task for planned in plan], by=caller(octet))
    except UsageError as error:
        raise type(error)(
            f"{file}{_line_of(str(error), plan)}: {error}; nothing was added"
        ) from error
    lines = [f"{task.id:<12} {task.state:<8} {plain(task.title)}" for task in tasks]
    emit(tasks, "\n".join([f"added {len(tasks)} tasks", *lines]), as_json)


def _line_of(message: str, plan: Sequence[Planned]) -> str:
    """`:LINE` of the first task that the message names by its id or by a dependency; else ""."""
    words = set(message.replace(";", " ").replace(":", " ").split())
    named = [planned.line for planned in plan if planned.task.id in words] or [
        p.line for p in plan if words & set(p.task.after)
    ]
    return f":{named[0]}" if named else ""


@click.command("graph")
@click.argument("task_id", metavar="ID", required=False)
@click.option("--all", "everything", is_flag=True, help="Also tasks that are done or cancelled.")
@click.option("--dot", "form", flag_value="dot", help="For Graphviz.")
@click.option("--mermaid", "form", flag_value="mermaid", help="For Mermaid.")
@json_option
def graph(task_id: str | None, everything: bool, form: str | None, as_json: bool) -> None:
    """Show the graph of tasks, each below those that it depends on; with ID, only the part that is
    connected with it.
    """
    with opened() as octet:
        tasks = {task.id: task for task in octet.tasks.list(limit=MAX_DRAWN)}
    if task_id and task_id not in tasks:
        raise NotFound(f"no task {task_id}: `octet task list` shows them")
    wanted = connected(tasks, task_id) if task_id else tasks if everything else unfinished(tasks)
    render = {"dot": render_dot, "mermaid": render_mermaid}.get(form or "", render_tree)
    emit(list(wanted.values()), render(wanted) if wanted or form else "no tasks", as_json)
