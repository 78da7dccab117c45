"""`octet task …`"""

from __future__ import annotations

import time
from pathlib import Path

import click

from octet.cli.output import emit, json_option, table
from octet.cli.session import caller, opened, own_token, start_directory
from octet.errors import Refused
from octet.git import Git
from octet.rescue import keep_work
from octet.tasks import STAGES, State, Task
from octet.text import age, plain

token_option = click.option("--token", help="Fencing token; default: that of your own claim.")


@click.group()
def task_group() -> None:
    """Tasks: add, list, show, claim, progress, submit, complete, fail, release."""


@task_group.command("add")
@click.argument("title")
@click.option("--priority", type=float, default=0, show_default=True, help="-1000 to 1000; higher is claimed first.")
@click.option("--description", default="", help="What to do, and when it is done.")
@click.option("--path", "paths", multiple=True, metavar="GLOB", help="What it is expected to touch (repeat).")
@click.option("--label", "labels", multiple=True, help="A label (repeat).")
@click.option("--id", "task_id", help="A name of your own; default: the next number.")
@click.option("--max-attempts", type=int, default=3, show_default=True)
@json_option
def add(
    title: str,
    priority: float,
    description: str,
    paths: tuple[str, ...],
    labels: tuple[str, ...],
    task_id: str | None,
    max_attempts: int,
    as_json: bool,
) -> None:
    """Store a task and queue it."""
    with opened() as octet:
        task = octet.tasks.add(
            title,
            description=description,
            priority=priority,
            task_id=task_id,
            labels=labels,
            paths=paths,
            max_attempts=max_attempts,
            created_by=caller(octet).id,
        )
    emit(task, f"added task {task.id}: {plain(task.title)}", as_json)


@task_group.command("list")
@click.option("--state", type=click.Choice([str(s) for s in State]))
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@json_option
def list_tasks(state: str | None, limit: int, as_json: bool) -> None:
    """Tasks in work first, then the queues in order of claim, then the finished."""
    with opened() as octet:
        tasks = octet.tasks.list(state, limit)
        now = octet.now_ms()
    rows = [[t.id, t.state, f"{t.priority:g}", t.holder, f"{t.progress:g}%", age(t.updated_ms, now), t.title] for t in tasks]
    emit(tasks, table(["ID", "STATE", "PRIO", "HOLDER", "DONE", "CHANGED", "TITLE"], rows) if rows else "no tasks", as_json)


@task_group.command("show")
@click.argument("task_id", metavar="ID")
@json_option
def show(task_id: str, as_json: bool) -> None:
    """Everything about one task."""
    with opened() as octet:
        task = octet.tasks.get(task_id)
    emit(task, describe(task), as_json)


@task_group.command("claim")
@click.argument("task_id", metavar="ID", required=False)
@click.option("--stage", type=click.Choice(list(STAGES)), default="build", show_default=True)
@json_option
def claim(task_id: str | None, stage: str, as_json: bool) -> None:
    """Take the first waiting task (or ID): highest priority, then oldest. You hold it until you submit, complete, fail or release it."""
    with opened() as octet:
        agent = caller(octet)
        task = octet.tasks.claim(agent, stage, task_id)
    emit(task, f"{agent.id} holds task {task.id} (token {task.token})\n{describe(task)}", as_json)


@task_group.command("progress")
@click.argument("task_id", metavar="ID")
@click.argument("percent", type=float)
@click.option("--note", default="", help="Where it stands, in a line.")
@token_option
@json_option
def progress(task_id: str, percent: float, note: str, token: str | None, as_json: bool) -> None:
    """Say how far a task is, 0 to 100."""
    with opened() as octet:
        octet.tasks.progress(task_id, own_token(octet, task_id, token), percent, note)
    emit({"task": task_id, "progress": percent}, f"task {task_id}: {percent:g}%", as_json)


@task_group.command("submit")
@click.argument("task_id", metavar="ID")
@click.option("--branch", default="", help="The branch that holds the work; default: the current one.")
@click.option("--note", default="", help="What was done and how it was checked.")
@token_option
@json_option
def submit(task_id: str, branch: str, note: str, token: str | None, as_json: bool) -> None:
    """Hand built work on to the merge; your claim ends."""
    with opened() as octet:
        shown = own_token(octet, task_id, token)
        branch, commit = committed_work(start_directory() or Path.cwd(), branch)
        octet.tasks.submit(task_id, shown, branch=branch, commit=commit, note=note)
    data = {"task": task_id, "state": "submitted", "branch": branch, "commit": commit}
    emit(data, f"task {task_id} submitted: {branch} at {commit[:12]}", as_json)


@task_group.command("complete")
@click.argument("task_id", metavar="ID")
@click.option("--result", default="", help="What came of it.")
@click.option("--commit", default="", help="The merge commit.")
@token_option
@json_option
def complete(task_id: str, result: str, commit: str, token: str | None, as_json: bool) -> None:
    """Mark a task done; one with a branch is done only from the merge stage."""
    with opened() as octet:
        octet.tasks.complete(task_id, own_token(octet, task_id, token), result, commit)
    emit({"task": task_id, "state": "done"}, f"task {task_id} is done", as_json)


@task_group.command("fail")
@click.argument("task_id", metavar="ID")
@click.option("--reason", required=True, help="What went wrong, for the next to try.")
@token_option
@json_option
def fail(task_id: str, reason: str, token: str | None, as_json: bool) -> None:
    """Give a task back as failed; after its last attempt it is dead. From the merge stage it goes back to be built again."""
    with opened() as octet:
        shown = own_token(octet, task_id, token)
        keep_work(octet, task_id)
        if octet.tasks.get(task_id).state == State.MERGING:
            octet.tasks.send_back(task_id, shown, reason)
            state = State.PENDING
        else:
            state = octet.tasks.fail(task_id, shown, reason)
    emit({"task": task_id, "state": str(state)}, f"task {task_id} failed and is {state}", as_json)


@task_group.command("release")
@click.argument("task_id", metavar="ID")
@click.option("--note", default="", help="Why, for the next to claim it.")
@token_option
@json_option
def release(task_id: str, note: str, token: str | None, as_json: bool) -> None:
    """Give a task back untried; no attempt is counted."""
    with opened() as octet:
        shown = own_token(octet, task_id, token)
        keep_work(octet, task_id)
        state = octet.tasks.release(task_id, shown, note)
    emit({"task": task_id, "state": str(state)}, f"task {task_id} is {state} again", as_json)


def committed_work(directory: Path, branch: str) -> tuple[str, str]:
    """The branch to submit and its commit: the named one, or the directory's, whose changes must all be committed.

    Raises:
        Refused: changes are not committed, or there is no such branch.
    """
    git = Git(directory)
    if not branch:
        branch = git.run("symbolic-ref", "--short", "--quiet", "HEAD").out
        if branch and git.out("status", "--porcelain", "--untracked-files=no"):
            raise Refused(f"{branch} has changes that are not committed: commit them, then submit")
    if not branch or not (commit := git.commit(f"refs/heads/{branch}")):
        raise Refused(f"there is no branch {branch or 'checked out here'}: commit your work to one, then submit with --branch")
    return branch, commit


def describe(task: Task) -> str:
    """A task for people: what there is to say of it, a line each."""
    now = int(time.time() * 1000)  # only an age for people; nothing is decided by it
    lines = [f"task {task.id}: {plain(task.title)}", f"  state     {task.state} ({task.stage} stage), priority {task.priority:g}"]
    facts = {
        "holder": f"{task.holder}, token {task.token}, {age(task.claimed_ms, now)}, {task.progress:g}%" if task.holder else "",
        "note": task.note,
        "author": task.author,
        "branch": f"{task.branch} {task.commit[:12]}" if task.branch else "",
        "merged": task.merge_commit,
        "result": task.result,
        "findings": task.findings,
        "last": f"attempt {task.attempts} of {task.max_attempts} ended: {task.last_reason}" if task.last_reason else "",
        "rescued": f"{task.rescue_ref} ({task.rescue_size}): `octet worktree rescue {task.id}` applies it" if task.rescue_ref else "",
        "labels": ", ".join(task.labels),
        "paths": ", ".join(task.paths),
    }
    lines += [f"  {name:<9} {plain(value, 1000)}" for name, value in facts.items() if value]
    lines += [f"  | {plain(line, 2000)}" for line in task.description.splitlines()]
    return "\n".join(lines)
