"""How the commands of tasks and reviews claim a task and show it."""

from __future__ import annotations

import time

import click

from octet.base.errors import Refused, UsageError
from octet.base.text import age, plain
from octet.base.vocabulary import stage_of_role
from octet.cli._common.records import text_lines
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import STAGES, FailedAttempt, Task
from octet.core.tasks.waiting import claim_when_there

CHECK_S = 5.0

token_option = click.option("--token", help="Fencing token; default: that of your own claim.")


def take(octet: Octet, agent: Agent, stage: str, task_id: str | None, wait_s: float) -> Task:
    """Claim a task of a stage, the named one or the first that fits; wait at most `wait_s` seconds.

    Raises:
        UsageError: both an id and a wait. The others are those of `Tasks.claim`.
    """
    if task_id and wait_s:
        raise UsageError(
            "--wait takes the first task that comes: leave out the task's id, or --wait"
        )
    return (
        claim_when_there(octet.store, agent, stage, wait_s)
        if wait_s
        else octet.tasks.claim(agent, stage, task_id)
    )


def served_stage(agent: Agent, asked: str | None) -> str:
    """The stage that an agent claims for.

    Raises:
        Refused: its role serves another, and it lacks the capability for this one. A guest may
            serve any.
    """
    own = stage_of_role(agent.role)
    if asked and own and asked not in {own, *agent.capabilities}:
        raise Refused(
            f"{agent.id} serves the {own} stage: `octet agent join {STAGES[asked].role}` to "
            f"serve {asked}"
        )
    return asked or own or "build"


def describe(task: Task) -> str:
    """A task for people, a line for each fact."""
    now = int(time.time() * 1000)  # for ages only; decides nothing
    lines = [
        f"task {task.id}: {plain(task.title)}",
        f"  state     {task.state} ({task.stage} stage), priority {task.priority:g}",
    ]
    facts = {
        "holder": _holder(task, now),
        "note": task.note,
        "author": task.author,
        "branch": f"{task.branch} {task.commit[:12]}" if task.branch else "",
        "merged": task.merge_commit,
        "last": _last(task),
        "rescued": _rescued(task),
        "after": ", ".join(task.after),
        "needs": ", ".join(task.needs),
        "accept": task.accept,
        "feature": task.feature,
        "labels": ", ".join(task.labels),
        "paths": ", ".join(task.paths),
    }
    lines += [f"  {name:<9} {plain(value, 1000)}" for name, value in facts.items() if value]
    lines += [f"  ended     {_ended(ended, now)}" for ended in task.ended]
    if task.result:
        lines += ["  result", *(f"    {line}" for line in text_lines(task.result))]
    if task.findings:
        lines += ["  to change", *(f"    {line}" for line in text_lines(task.findings))]
    lines += [f"  | {plain(line, 2000)}" for line in task.description.splitlines()]
    return "\n".join(lines)


def _ended(ended: FailedAttempt, now_ms: int) -> str:
    who = f"{plain(ended.agent, 80)}, {age(ended.at_ms, now_ms)} ago"
    return (
        f"attempt {ended.attempt} at the {plain(ended.stage, 40)} stage ({who}): "
        f"{plain(ended.reason, 300)}"
    )


def _holder(task: Task, now_ms: int) -> str:
    if not task.holder:
        return ""
    held = age(task.claimed_ms, now_ms)
    return f"{task.holder}, token {task.token}, {held}, {task.progress:g}%"


def _rescued(task: Task) -> str:
    if not task.rescue_ref:
        return ""
    return f"{task.rescue_ref} ({task.rescue_size}): `octet task rescue {task.id}` applies it"


def _last(task: Task) -> str:
    if not task.last_reason:
        return ""
    if task.gate_attempts:
        return (
            f"attempt {task.gate_attempts} of {task.max_attempts} at the {task.stage} gate "
            f"ended: {task.last_reason}"
        )
    return f"attempt {task.attempts} of {task.max_attempts} ended: {task.last_reason}"
