"""`octet task …`"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from octet.base.text import age, plain
from octet.base.vocabulary import BUILD, GATES, WORK_STAGES
from octet.cli._common.caller import caller, own_token
from octet.cli._common.context import opened, start_directory
from octet.cli._common.cost import tokens_data, tokens_line
from octet.cli._common.durations import Duration
from octet.cli._common.output import emit, json_option, table
from octet.cli._common.records import records_data, summary_lines
from octet.cli._common.tasks import CHECK_S, describe, served_stage, take, token_option
from octet.cli.task_plan import graph, import_plan
from octet.cli.task_rescue import rescue
from octet.core.tasks.graph import stuck_on
from octet.core.tasks.record import STAGES, Task, TaskState
from octet.core.tasks.verdicts import NewRecord, Verdict
from octet.merge.submission import (
    checked_out_branch,
    find_committed_work,
    gates_of_commit,
    push_task_branch,
    refuse_conflicts,
)
from octet.worktree.rescue import rescue_held_task

RENEWABLE = frozenset({TaskState.SUBMITTED, TaskState.IN_REVIEW, TaskState.TESTING})


@click.group()
def task_group() -> None:
    """Tasks: add, import, list, show, graph, claim, progress, submit, complete, fail, release,
    cancel, retry, rescue.
    """


@task_group.command("add")
@click.argument("title")
@click.option(
    "--priority",
    type=float,
    default=0,
    show_default=True,
    help="-1000 to 1000; the highest is claimed first.",
)
@click.option("--description", default="", help="What to do, and when the task is done.")
@click.option(
    "--path",
    "paths",
    multiple=True,
    metavar="GLOB",
    help="A path that it is expected to change (repeat).",
)
@click.option("--label", "labels", multiple=True, help="A label (repeat).")
@click.option("--id", "task_id", help="The task's id; default: the next number.")
@click.option(
    "--after", multiple=True, metavar="ID", help="A task that must be done first (repeat)."
)
@click.option(
    "--needs",
    multiple=True,
    metavar="CAPABILITY",
    help="A capability that an agent needs to claim it (repeat).",
)
@click.option(
    "--stage",
    type=click.Choice(WORK_STAGES),
    default=BUILD,
    show_default=True,
    help="The stage at which it begins.",
)
@click.option(
    "--gate",
    "gates",
    multiple=True,
    type=click.Choice(GATES),
    help="A gate after that (repeat); default: the project's gates.",
)
@click.option("--accept", default="", help="How to see that it is done.")
@click.option("--feature", default="", help="The feature that it is part of.")
@click.option("--max-attempts", type=int, default=3, show_default=True)
@json_option
def add(title: str, gates: tuple[str, ...], as_json: bool, **fields: Any) -> None:
    """Add a task to the queue; it is blocked until the tasks of --after are done."""
    with opened() as octet:
        task = octet.tasks.add(title, gates=gates, by=caller(octet), **fields)
        stuck = stuck_on(task, {other.id: other for other in octet.tasks.read(task.after)})
    warning = (
        f"\n  it waits for {', '.join(stuck)}: `octet task retry ID` queues that again"
        if stuck
        else ""
    )
    emit(task, f"added task {task.id} ({task.state}): {plain(task.title)}{warning}", as_json)


@task_group.command("list")
@click.option("--state", type=click.Choice([str(s) for s in TaskState]))
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@json_option
def list_tasks(state: str | None, limit: int, as_json: bool) -> None:
    """Show tasks: those in work, then the queues in the order of claims, then finished ones."""
    with opened() as octet:
        tasks = octet.tasks.list(state, limit)
        now = octet.now_ms()
    rows = [
        [
            t.id,
            _where(t),
            f"{t.priority:g}",
            t.holder,
            f"{t.progress:g}%",
            age(t.updated_ms, now),
            t.title,
        ]
        for t in tasks
    ]
    emit(
        tasks,
        table(["ID", "STATE", "PRIO", "HOLDER", "DONE", "CHANGED", "TITLE"], rows)
        if rows
        else "no tasks",
        as_json,
    )


def _where(task: Task) -> str:
    return (
        f"{task.state} ({task.stage})"
        if task.state in {TaskState.SUBMITTED, TaskState.IN_REVIEW}
        else task.state
    )


@task_group.command("show")
@click.argument("task_id", metavar="ID")
@json_option
def show(task_id: str, as_json: bool) -> None:
    """Show everything about one task."""
    with opened() as octet:
        task = octet.tasks.get(task_id)
        before, records, now_ms = (
            octet.tasks.read(task.after),
            octet.tasks.records(task_id),
            octet.now_ms(),
        )
        tokens = octet.cost.task(task_id)
    lines = [f"  after     {other.id} ({other.state}) {plain(other.title)}" for other in before]
    lines += [f"  tokens    {tokens_line(tokens)}"] if tokens.messages else []
    data = {**asdict(task), "records": records_data(task, records), "tokens": tokens_data(tokens)}
    emit(data, "\n".join([describe(task), *lines, *summary_lines(task, records, now_ms)]), as_json)


@task_group.command("claim")
@click.argument("task_id", metavar="ID", required=False)
@click.option(
    "--stage",
    type=click.Choice(list(STAGES)),
    help="Default: the stage of your role, else build.",
)
@click.option(
    "--wait",
    "wait_s",
    type=Duration(),
    default="0s",
    metavar="TIME",
    help="Wait for a task, such as 90s, 10m or 2h.",
)
@json_option
def claim(task_id: str | None, stage: str | None, wait_s: float, as_json: bool) -> None:
    """Claim the first waiting task that fits you, or ID: work that was sent back to you first, then
    the highest priority, then the oldest.

    You hold it until you submit, complete, fail or release it.
    """
    with opened(wait_s=CHECK_S if wait_s else 0.0) as octet:
        agent = caller(octet)
        task = take(octet, agent, served_stage(agent, stage), task_id, wait_s)
    emit(task, f"{agent.id} holds task {task.id} (token {task.token})\n{describe(task)}", as_json)


@task_group.command("progress")
@click.argument("task_id", metavar="ID")
@click.argument("percent", type=float)
@click.option("--note", default="", help="One line about its state.")
@token_option
@json_option
def progress(task_id: str, percent: float, note: str, token: str | None, as_json: bool) -> None:
    """Report how far a task is, 0 to 100."""
    with opened() as octet:
        octet.tasks.progress(task_id, own_token(octet, task_id, token), percent, note)
    emit({"task": task_id, "progress": percent}, f"task {task_id}: {percent:g}%", as_json)


@task_group.command("submit")
@click.argument("task_id", metavar="ID")
@click.option(
    "--branch", default="", help="The branch that holds the work; default: the current one."
)
@click.option("--note", default="", help="What was done, and how it was checked.")
@token_option
@json_option
def submit(task_id: str, branch: str, note: str, token: str | None, as_json: bool) -> None:
    """Submit finished work to its first gate; your claim ends. A new commit may be submitted again,
    and its gates start anew.
    """
    directory = start_directory() or Path.cwd()
    with opened() as octet:
        task, agent = octet.tasks.get(task_id), caller(octet)
        again = not token and task.author == agent.id and task.state in RENEWABLE
        shown = "" if again else own_token(octet, task_id, token)
        if again and task.branch != checked_out_branch(directory):
            branch = branch or task.branch
        branch, commit = find_committed_work(
            directory, branch, octet.project.config.protected if octet.project else ()
        )
        refuse_conflicts(octet, branch, commit)
        gates = gates_of_commit(octet, task, commit)
        push_task_branch(octet, branch, commit)
        if again:
            stage = octet.tasks.renew(
                task_id, agent=agent, branch=branch, commit=commit, note=note, gates=gates
            )
        else:
            stage = octet.tasks.submit(
                task_id, shown, branch=branch, commit=commit, note=note, gates=gates
            )
    data = {
        "task": task_id,
        "state": "submitted",
        "branch": branch,
        "commit": commit,
        "stage": stage,
    }
    emit(data, f"task {task_id} submitted: {branch} at {commit[:12]}; next: {stage}", as_json)


@task_group.command("complete")
@click.argument("task_id", metavar="ID")
@click.option("--result", default="", help="The result.")
@click.option("--commit", default="", help="The merge commit.")
@token_option
@json_option
def complete(task_id: str, result: str, commit: str, token: str | None, as_json: bool) -> None:
    """Mark a task as done; a task with a branch must be at the merge stage."""
    with opened() as octet:
        octet.tasks.complete(task_id, own_token(octet, task_id, token), result, commit)
    emit({"task": task_id, "state": "done"}, f"task {task_id} is done", as_json)


@task_group.command("fail")
@click.argument("task_id", metavar="ID")
@click.option("--reason", required=True, help="What went wrong, for the next attempt.")
@token_option
@json_option
def fail(task_id: str, reason: str, token: str | None, as_json: bool) -> None:
    """Release a task as failed; after its last attempt it is dead. From a gate it goes back to be
    built again.
    """
    with opened() as octet:
        shown = own_token(octet, task_id, token)
        rescue_held_task(octet, task_id)
        gate = octet.tasks.get(task_id).state
        if gate in {TaskState.IN_REVIEW, TaskState.TESTING, TaskState.MERGING}:
            verdict = Verdict.CHANGES if gate == TaskState.IN_REVIEW else Verdict.FAIL
            octet.tasks.send_back(task_id, shown, record=NewRecord(verdict, reason))
            state = TaskState.PENDING
        else:
            state = octet.tasks.fail(task_id, shown, reason)
    emit({"task": task_id, "state": str(state)}, f"task {task_id} failed and is {state}", as_json)


@task_group.command("release")
@click.argument("task_id", metavar="ID")
@click.option("--note", default="", help="The reason, for its next holder.")
@token_option
@json_option
def release(task_id: str, note: str, token: str | None, as_json: bool) -> None:
    """Release a task; no attempt is counted."""
    with opened() as octet:
        shown = own_token(octet, task_id, token)
        rescue_held_task(octet, task_id)
        state = octet.tasks.release(task_id, shown, note)
    emit({"task": task_id, "state": str(state)}, f"task {task_id} is {state} again", as_json)


@task_group.command("cancel")
@click.argument("task_id", metavar="ID")
@click.option("--reason", default="", help="Why it is no longer wanted.")
@json_option
def cancel(task_id: str, reason: str, as_json: bool) -> None:
    """Remove a task from the queue for good; its holder loses it."""
    with opened() as octet:
        holder = octet.tasks.cancel(task_id, reason, by=caller(octet))
    ended = f"; {holder} holds it no longer" if holder else ""
    emit(
        {"task": task_id, "state": "cancelled", "holder": holder},
        f"task {task_id} is cancelled{ended}",
        as_json,
    )


@task_group.command("retry")
@click.argument("task_id", metavar="ID")
@json_option
def retry(task_id: str, as_json: bool) -> None:
    """Queue a dead or cancelled task again, with new attempts."""
    with opened() as octet:
        state = octet.tasks.retry(task_id, by=caller(octet))
    emit({"task": task_id, "state": str(state)}, f"task {task_id} is {state} again", as_json)


task_group.add_command(import_plan)
task_group.add_command(graph)
task_group.add_command(rescue)
