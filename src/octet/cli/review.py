"""`octet review …`"""

from __future__ import annotations

from dataclasses import asdict

import click

from octet.base.errors import IllegalTransition, Refused, UsageError
from octet.base.text import plain
from octet.base.vocabulary import REVIEW, SECURITY, stage_of_role
from octet.cli._common.caller import caller, own_token
from octet.cli._common.context import opened
from octet.cli._common.durations import Duration
from octet.cli._common.output import emit, json_option
from octet.cli._common.records import full_lines, records_data
from octet.cli._common.tasks import CHECK_S, describe, served_stage, take, token_option
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task, TaskState
from octet.core.tasks.verdicts import Finding, NewRecord, Verdict
from octet.merge.submission import SubmittedChange, find_newer_tip, gates_of_commit, read_change

REVIEWS = (REVIEW, SECURITY)


@click.group()
def review_group() -> None:
    """Reviews: start, approve, reject, show."""


@review_group.command("start")
@click.argument("task_id", metavar="ID", required=False)
@click.option(
    "--stage",
    type=click.Choice(REVIEWS),
    help="Default: the one that your role serves, else review.",
)
@click.option(
    "--wait",
    "wait_s",
    type=Duration(),
    default="0s",
    metavar="TIME",
    help="Wait for one, as in 90s, 10m or 2h.",
)
@json_option
def start(task_id: str | None, stage: str | None, wait_s: float, as_json: bool) -> None:
    """Take the first submitted task (or ID) that you did not write, and see what to review.

    You hold it until you approve, reject or release it.
    """
    with opened(wait_s=CHECK_S if wait_s else 0.0) as octet:
        agent = caller(octet)
        task = take(octet, agent, _stage(agent, stage), task_id, wait_s)
        change, records = read_change(octet, task), octet.tasks.records(task.id)
        now_ms = octet.now_ms()
    lines = [
        f"{agent.id} holds task {task.id} (token {task.token})",
        describe(task),
        *_describe_change(task, change),
    ]
    if records:
        lines += ["  earlier", *(f"    {line}" for line in full_lines(task, records, now_ms))]
    lines.append(
        f"  then      `octet review approve {task.id}`, or `octet review reject {task.id} "
        "--finding 'FILE:LINE: SEVERITY: TEXT'`"
    )
    data = {
        "task": asdict(task),
        "change": asdict(change) if change else None,
        "records": records_data(task, records),
    }
    emit(data, "\n".join(lines), as_json)


def _stage(agent: Agent, asked: str | None) -> str:
    own = stage_of_role(agent.role)
    return served_stage(agent, asked or (own if own in REVIEWS else REVIEWS[0]))


def _describe_change(task: Task, change: SubmittedChange | None) -> list[str]:
    if change:
        files = [f"    {line.strip()}" for line in change.stat.splitlines()]
        return [f"  look      {change.command}", *files]
    if task.commit:
        return [f"  look      {task.commit[:12]} is not in this repository: `git fetch` it first"]
    return ["  look      it has no commit"]


@review_group.command("approve")
@click.argument("task_id", metavar="ID")
@click.option("--note", default="", help="What you reviewed, and what is not proven.")
@token_option
@json_option
def approve(task_id: str, note: str, token: str | None, as_json: bool) -> None:
    """Pass the commit that you reviewed on to the next gate."""
    with opened() as octet:
        task, shown = _under_review(octet, task_id, token, "approve")
        stage = octet.tasks.pass_on(
            task.id, shown, commit=task.commit, record=NewRecord(Verdict.APPROVE, note)
        )
    data = {"task": task.id, "state": "submitted", "stage": stage, "commit": task.commit}
    emit(data, f"task {task.id} is approved at {task.commit[:12]}; next: {stage}", as_json)


@review_group.command("reject")
@click.argument("task_id", metavar="ID")
@click.option(
    "--finding",
    "findings",
    multiple=True,
    metavar="FILE:LINE: SEVERITY: TEXT",
    help="blocker, major, minor or note (repeat).",
)
@click.option("--note", default="", help="What has to change overall.")
@token_option
@json_option
def reject(
    task_id: str, findings: tuple[str, ...], note: str, token: str | None, as_json: bool
) -> None:
    """Send the work back to its author, with what has to change."""
    record = NewRecord(Verdict.CHANGES, note, tuple(Finding.parse(text) for text in findings))
    if not record.text().strip():
        raise UsageError(
            "say what is to change: --finding 'FILE:LINE: SEVERITY: TEXT', or --note TEXT"
        )
    with opened() as octet:
        task, shown = _under_review(octet, task_id, token, "reject")
        octet.tasks.send_back(task.id, shown, commit=task.commit, record=record)
    data = {
        "task": task.id,
        "state": "pending",
        "author": task.author,
        "commit": task.commit,
        "findings": len(findings),
    }
    emit(data, f"task {task.id} goes back to {plain(task.author)}, who is told", as_json)


def _under_review(octet: Octet, task_id: str, token: str | None, step: str) -> tuple[Task, str]:
    """The task and the token to show for it.

    Raises:
        Refused: the caller does not hold it; or its branch has moved on, so the task returned to
            its first gate.
        IllegalTransition: it is not under review.
    """
    shown, task = own_token(octet, task_id, token), octet.tasks.get(task_id)
    if task.state != TaskState.IN_REVIEW:
        raise IllegalTransition(task.id, task.state, step, TaskState.IN_REVIEW)
    tip = find_newer_tip(octet, task)
    if not tip:
        return task, shown
    gates = gates_of_commit(octet, task, tip)
    stage = octet.tasks.renew(
        task.id, agent=caller(octet), token=shown, branch=task.branch, commit=tip, gates=gates
    )
    raise Refused(
        f"{task.branch} moved from {task.commit[:12]} to {tip[:12]} under your review: task "
        f"{task.id} waits for the {stage} stage again,"
        f" with the new commit; take it with `octet review start {task.id}`"
    )


@review_group.command("show")
@click.argument("task_id", metavar="ID")
@json_option
def show(task_id: str, as_json: bool) -> None:
    """Show all that the gates found out about a task, oldest first."""
    with opened() as octet:
        task, records, now_ms = (
            octet.tasks.get(task_id),
            octet.tasks.records(task_id),
            octet.now_ms(),
        )
    data = {"task": task.id, "commit": task.commit, "records": records_data(task, records)}
    emit(
        data,
        "\n".join(full_lines(task, records, now_ms)) or f"no gate has judged task {task.id} yet",
        as_json,
    )
