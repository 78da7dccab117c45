"""`octet merge …`"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from octet.base.errors import NotFound, Refused
from octet.base.text import age, plain
from octet.base.vocabulary import MERGE, REPOSITORY_GUARDIAN
from octet.cli._common.caller import by_an_agent, own_process
from octet.cli._common.context import opened, project_of
from octet.cli._common.durations import Duration
from octet.cli._common.output import emit, json_option, table
from octet.client.api import Octet
from octet.core.tasks.record import Task, TaskState
from octet.git.program import Git
from octet.merge.prediction import queue_conflicts
from octet.merge.queue import MergeQueue
from octet.merge.records import MergeReport
from octet.merge.settings import MergeSettings, approved_test_command, read_merge_settings
from octet.merge.waiting_reason import waiting_reason

STORE_WAIT_S = 5.0
MAX_SHOWN = 1000
HEADINGS = ["ID", "STATE", "PRIO", "COMMIT", "AUTHOR", "FOR", "CONFLICTS WITH", "TITLE"]


@click.group()
def merge_group() -> None:
    """The merge queue: show it, merge what waits."""


@merge_group.command("queue")
@json_option
def queue(as_json: bool) -> None:
    """Show what waits for the merge, in order, what it conflicts with, and why nothing moves."""
    with opened() as octet:
        settings = read_merge_settings(project_of(octet), None)
        branch = settings.target.branch
        tasks = [*octet.tasks.list(TaskState.MERGING), *octet.tasks.queued(MERGE, MAX_SHOWN)]
        conflicts = queue_conflicts(Git(settings.root), branch, tasks)
        holder, why, now_ms = _holder(octet, settings), waiting_reason(octet), octet.now_ms()
    lines = [_table(tasks, conflicts, now_ms) if tasks else "nothing waits to be merged"]
    lines += [f"{plain(settings.resource)} is held by {plain(holder)}"] if holder else []
    lines += [f"waiting: {plain(why, 500)}"] if why and tasks else []
    data = {
        "branch": branch,
        "holder": holder,
        "waiting": why,
        "tasks": [{**_data(task), "conflicts": conflicts.get(task.id, "")} for task in tasks],
    }
    emit(data, "\n".join(lines), as_json)


@merge_group.command("run")
@click.argument("task_id", metavar="[ID]", required=False)
@click.option("--once", is_flag=True, help="Merge what waits now, then end.")
@click.option(
    "--wait",
    "wait_s",
    type=Duration(),
    metavar="TIME",
    help="End if no work comes for this long; default: never end.",
)
@click.option(
    "--no-tests",
    is_flag=True,
    help="Merge without any test. A person's decision: refused to agents.",
)
@json_option
def run(
    task_id: str | None, once: bool, wait_s: float | None, no_tests: bool, as_json: bool
) -> None:
    """Merge what has passed its gates (or only ID) into the protected branch, tested; needs no
    model.

    Work that conflicts or fails goes back to its developer. Ctrl-C ends it at any time: nothing is
    left half merged.
    """
    with opened(wait_s=STORE_WAIT_S) as octet:
        project = project_of(octet)
        settings = read_merge_settings(
            project, None if no_tests else approved_test_command(project)
        )
        if no_tests and by_an_agent():
            raise Refused("--no-tests is for a person to say, in a terminal of their own")
        with (
            own_process(octet, REPOSITORY_GUARDIAN) as register,
            MergeQueue(octet, settings, register) as merge_queue,
        ):
            if once or task_id:
                reports = merge_queue.merge_once(task_id or "")
            else:
                reports = merge_queue.serve(wait_s)
            blocked = _print_reports(reports, as_json)
    if blocked:
        raise Refused(blocked if as_json else "the merge waits: see above")


def _print_reports(reports: Iterable[MergeReport], as_json: bool) -> str:
    """Print each as it comes; the text of the last one if it says that nothing moves, else ""."""
    last = ""
    for report in reports:
        waits = report.kind == "waiting"
        emit(report, f"waiting: {report.text}" if waits else report.text, as_json)
        last = report.text if waits else ""
    return last


def _holder(octet: Octet, settings: MergeSettings) -> str:
    try:
        return octet.locks.get(settings.resource).holder
    except NotFound:
        return ""


def _table(tasks: Sequence[Task], conflicts: Mapping[str, str], now_ms: int) -> str:
    rows = [
        [
            task.id,
            str(task.state),
            f"{task.priority:g}",
            task.commit[:12],
            task.author,
            age(task.updated_ms, now_ms),
            conflicts.get(task.id, ""),
            task.title,
        ]
        for task in tasks
    ]
    return table(HEADINGS, rows)


def _data(task: Task) -> dict[str, Any]:
    return {
        name: getattr(task, name)
        for name in ("id", "title", "state", "priority", "branch", "commit", "author", "updated_ms")
    }
