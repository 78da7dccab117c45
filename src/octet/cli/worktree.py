"""`octet worktree …`"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from octet.base.errors import NotFound, Refused
from octet.base.text import plain
from octet.cli._common.caller import caller
from octet.cli._common.context import opened, start_directory
from octet.cli._common.output import emit, json_option, table
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task, TaskState
from octet.git.program import Git
from octet.git.snapshot import take_snapshot
from octet.git.worktrees import ListedWorktree, check_name
from octet.project.repository import Project, find_worktree
from octet.worktree.creation import MAX_ATTEMPTS, PreparedWorktree, prepare_worktree
from octet.worktree.inventory import (
    WorktreeProblem,
    WorktreeStatus,
    find_problems,
    take_inventory,
)
from octet.worktree.ownership import list_linked_worktrees, list_owned_worktrees, read_ownership
from octet.worktree.ports import release_orphaned_ports
from octet.worktree.removal import remove_worktree
from octet.worktree.repository import base_branch, require_repository


@click.group()
def worktree_group() -> None:
    """Worktrees: add, list, remove, doctor, snapshot."""


@worktree_group.command("add")
@click.argument("task_id", metavar="[TASK]", required=False)
@click.option(
    "--attempt",
    type=click.IntRange(1, MAX_ATTEMPTS),
    help="Number of the branch; default: the first free one.",
)
@json_option
def add(task_id: str | None, attempt: int | None, as_json: bool) -> None:
    """Make your worktree for TASK, which you hold: branch octet/TASK from the protected branch's
    tip.

    If you have one already, it is shown again.
    """
    with opened() as octet:
        agent = caller(octet)
        task = _held_task(octet, agent, task_id)
        prepared = prepare_worktree(octet, agent, task, attempt)
    emit(prepared, _describe(prepared), as_json)


@worktree_group.command("list")
@click.option("--no-size", is_flag=True, help="Do not count the disk use.")
@json_option
def list_worktrees(no_size: bool, as_json: bool) -> None:
    """List every worktree with its owner, task, disk use and the work in it."""
    with opened() as octet:
        inventory = take_inventory(octet, require_repository(octet), sizes=not no_size)
    emit(
        [_data(status) for status in inventory],
        _table(inventory) if inventory else "no worktrees besides the main checkout",
        as_json,
    )


@worktree_group.command("remove")
@click.argument("name")
@click.option(
    "--force",
    is_flag=True,
    help="Also if its owner is alive, or it is locked. Work in it is still kept.",
)
@json_option
def remove(name: str, force: bool, as_json: bool) -> None:
    """Remove a worktree.

    Unmerged work is first kept under refs/octet/rescue/, and an unmerged branch stays.
    """
    with opened() as octet:
        listed = _find(require_repository(octet), name)
        removed = remove_worktree(octet, listed, by=caller(octet), force=force)
    kept = f"; its work is {removed.rescue.ref} ({removed.rescue.size})" if removed.rescue else ""
    branch = f"; branch {plain(removed.branch)} stays" if removed.branch else ""
    emit(removed, f"removed {plain(removed.path)}{kept}{branch}", as_json)


@worktree_group.command("doctor")
@click.option(
    "--fix",
    is_flag=True,
    help="Do the safe part: unlock for dead processes, remove merged or missing ones, free ports.",
)
@json_option
def doctor(fix: bool, as_json: bool) -> None:
    """Show what to clean up: unused worktrees, locks of dead processes, ports of worktrees that are
    gone.
    """
    with opened() as octet:
        project = require_repository(octet)
        inventory = take_inventory(octet, project, sizes=False)
        problems = list(find_problems(inventory, base_branch(project)))
        done = _fix(octet, project, problems) if fix else []
    ports = list(release_orphaned_ports()) if fix else []
    left = [problem for problem in problems if problem not in done]
    lines = [f"{plain(problem.name)} {problem.what}: done" for problem in done]
    lines += [_advise(problem) for problem in left]
    lines += [f"freed ports {', '.join(map(str, ports))}"] if ports else []
    data = {
        "done": [asdict(problem) for problem in done],
        "left": [asdict(problem) for problem in left],
        "ports": ports,
    }
    emit(data, "\n".join(lines) or "all is well", as_json)


@worktree_group.command("snapshot")
@click.option("--name", help="Under refs/octet/rescue/; default: the worktree's task, or its name.")
@json_option
def snapshot(name: str | None, as_json: bool) -> None:
    """Keep this checkout's uncommitted work under refs/octet/rescue/ and change nothing: use it
    instead of `git stash`.
    """
    with opened() as octet:
        project = require_repository(octet)
        here = find_worktree(start_directory() or Path.cwd())
        if here is None or here.common_dir != project.common_dir:
            raise Refused("this directory is in no checkout of the project")
        ownership = read_ownership(here) if not here.is_main else None
        label = name or (ownership.task if ownership else here.name or "main-checkout")
        check_name(label)
        attempt = str(ownership.attempt) if ownership else "1"
        kept = take_snapshot(Git(here.path), label, attempt, base=base_branch(project))
    if kept is None:
        emit({"snapshot": None}, "nothing to keep: all of it is committed and merged", as_json)
        return
    skipped = f"; left out: {', '.join(map(ascii, kept.skipped))}" if kept.skipped else ""
    emit(
        {"snapshot": asdict(kept)},
        f"kept as {kept.ref} ({kept.size}){skipped}; `octet task rescue {label}` applies it",
        as_json,
    )


def _held_task(octet: Octet, agent: Agent, task_id: str | None) -> Task:
    if task_id:
        task = octet.tasks.get(task_id)
        if task.holder != agent.id:
            raise Refused(
                f"task {task_id} is not yours ({agent.id}): claim it first with "
                f"`octet task claim {task_id}`"
            )
        return task
    held = [task for task in octet.tasks.held_by(agent.id) if task.state == TaskState.CLAIMED]
    if len(held) != 1:
        advice = "name the one" if held else "claim one first with `octet task claim`"
        raise Refused(f"{agent.id} holds {len(held)} tasks: {advice}")
    return held[0]


def _find(project: Project, name: str) -> ListedWorktree:
    """The worktree with that name, branch, task or path.

    Raises:
        NotFound, Refused: there is none, or more than one.
    """
    found = [
        listed
        for listed in list_linked_worktrees(project)
        if name in (listed.path.name, listed.branch, str(listed.path))
    ] or [
        listed for listed, _, ownership in list_owned_worktrees(project) if ownership.task == name
    ]
    if not found:
        raise NotFound(f"no worktree {name!r}: `octet worktree list` shows them")
    if len(found) > 1:
        paths = ", ".join(str(listed.path) for listed in found[:5])
        raise Refused(f"{name} names {len(found)} worktrees: give the path, one of {paths}")
    return found[0]


def _fix(
    octet: Octet, project: Project, problems: Sequence[WorktreeProblem]
) -> list[WorktreeProblem]:
    done = []
    for problem in problems:
        listed = _find(project, problem.name) if problem.safe else None
        if listed and problem.act == "unlock":
            Git(project.root).out("worktree", "unlock", str(listed.path))
            done.append(problem)
        elif listed and problem.act == "remove":
            remove_worktree(octet, listed, by=caller(octet))
            done.append(problem)
    return done


def _advise(problem: WorktreeProblem) -> str:
    fixable = " (--fix does it)" if problem.safe else ""
    return f"{plain(problem.name)} {problem.what}: {plain(problem.advice)}{fixable}"


def _data(status: WorktreeStatus) -> dict[str, object]:
    return {**asdict(status), "stale": status.stale, "state": status.state}


def _table(inventory: Sequence[WorktreeStatus]) -> str:
    rows = []
    for status in inventory:
        owner = status.owner or (f"({status.made_for})" if status.made_for else "")
        size = "" if status.bytes < 0 else f"{status.bytes / 2**20:.1f} MB"
        rows.append([status.name, status.branch, owner, status.task, size, status.state])
    return table(["NAME", "BRANCH", "OWNER", "TASK", "DISK", "STATE"], rows)


def _describe(prepared: PreparedWorktree) -> str:
    lines = [f"{prepared.branch} in {plain(prepared.path)}"]
    lines += [f"  {name}={port}" for name, port in prepared.ports.items()]
    lines += ["  set up"] if prepared.setup.ran and not prepared.setup.failure else []
    return "\n".join([*lines, *(plain(notice, 500) for notice in prepared.notices)])
