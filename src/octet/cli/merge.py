"""`octet merge …`"""

from __future__ import annotations

from collections.abc import Iterable
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
from octet.merge.prediction import ahead_of
from octet.merge.progress import why_waiting
from octet.merge.queue import How, MergeQueue, Report, how_to_merge, merging, suite_of

CHECK_S = 5.0
MOST_SHOWN = 1000


@click.group()
def merge_group() -> None:
    """The merge queue: show it, work it off."""


@merge_group.command("queue")
@json_option
def queue(as_json: bool) -> None:
    """What waits for the merge, in order, what it conflicts with, and why nothing moves."""
    with opened() as octet:
        how = how_to_merge(project_of(octet), None)
        tasks = [*octet.tasks.list(TaskState.MERGING), *octet.tasks.queued(MERGE, MOST_SHOWN)]
        found = ahead_of(Git(how.root), how.target.branch, tasks)
        holder, why, now = _holder(octet, how), why_waiting(octet), octet.now_ms()
    rows = [
        [
            t.id,
            str(t.state),
            f"{t.priority:g}",
            t.commit[:12],
            t.author,
            age(t.updated_ms, now),
            found.get(t.id, ""),
            t.title,
        ]
        for t in tasks
    ]
    lines = [
        table(["ID", "STATE", "PRIO", "COMMIT", "AUTHOR", "FOR", "CONFLICTS WITH", "TITLE"], rows)
        if rows
        else "nothing waits to be merged"
    ]
    lines += [f"{plain(how.resource)} is held by {plain(holder)}"] if holder else []
    lines += [f"waiting: {plain(why, 500)}"] if why and tasks else []
    data = {
        "branch": how.target.branch,
        "holder": holder,
        "waiting": why,
        "tasks": [{**_data(t), "conflicts": found.get(t.id, "")} for t in tasks],
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
    help="End when nothing has come for so long; default: go on for ever.",
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
    with opened(wait_s=CHECK_S) as octet:
        project = project_of(octet)
        how = how_to_merge(project, suite_of(project, without=no_tests))
        if no_tests and by_an_agent():
            raise Refused("--no-tests is for a person to say, in a terminal of their own")
        with (
            own_process(octet, REPOSITORY_GUARDIAN) as register,
            merging(MergeQueue(octet, how, register)) as work,
        ):
            stuck = _tell(
                work.merge_once(task_id or "") if once or task_id else work.serve(wait_s), as_json
            )
    if stuck:
        raise Refused("the merge waits: see above") if not as_json else Refused(stuck)


def _tell(reports: Iterable[Report], as_json: bool) -> str:
    """Print each as it happens; the text of the last one where it says that nothing can move, else
    "".
    """
    last = ""
    for report in reports:
        emit(
            report, f"waiting: {report.text}" if report.kind == "waiting" else report.text, as_json
        )
        last = report.text if report.kind == "waiting" else ""
    return last


def _holder(octet: Octet, how: How) -> str:
    try:
        return octet.locks.get(how.resource).holder
    except NotFound:
        return ""


def _data(task: Task) -> dict[str, Any]:
    return {
        name: getattr(task, name)
        for name in ("id", "title", "state", "priority", "branch", "commit", "author", "updated_ms")
    }
