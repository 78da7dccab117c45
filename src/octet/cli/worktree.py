"""`octet worktree …`"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from octet.base.errors import NotFound, Refused, UsageError
from octet.base.text import plain
from octet.cli._common.caller import caller
from octet.cli._common.context import opened, start_directory
from octet.cli._common.output import emit, json_option, table
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task, TaskState
from octet.git.program import Git
from octet.git.snapshot import take_snapshot
from octet.git.worktrees import Worktree, check_name
from octet.project.repository import Project, find_worktree
from octet.worktree.inventory import Finding, Standing, diagnose, survey
from octet.worktree.lifecycle import MOST_ATTEMPTS, Moved, move_in, move_out
from octet.worktree.ownership import linked_checkouts, linked_worktree, read_tenancy
from octet.worktree.ports import free_dead_ports
from octet.worktree.rescue import base_branch


@click.group()
def worktree_group() -> None:
    """Worktrees: add, list, remove, doctor, snapshot."""


@worktree_group.command("add")
@click.argument("task_id", metavar="[TASK]", required=False)
@click.option(
    "--attempt",
    type=click.IntRange(1, MOST_ATTEMPTS),
    help="Number of the branch; default: one that is free.",
)
@json_option
def add(task_id: str | None, attempt: int | None, as_json: bool) -> None:
    """Your worktree for the TASK that you hold, on branch octet/TASK from the protected branch's
    tip. Again: the same one.
    """
    with opened() as octet:
        agent = caller(octet)
        task = _held_task(octet, agent, task_id)
        moved = move_in(octet, agent, task, attempt)
    emit(moved, _describe(moved), as_json)


@worktree_group.command("list")
@click.option("--no-size", is_flag=True, help="Do not count the disk use.")
@json_option
def list_worktrees(no_size: bool, as_json: bool) -> None:
    """Every worktree with its owner, task, disk use and the work in it."""
    with opened() as octet:
        found = survey(octet, _project(octet), sizes=not no_size)
    emit(
        [_data(one) for one in found],
        _table(found) if found else "no worktrees besides the main checkout",
        as_json,
    )


@worktree_group.command("remove")
@click.argument("name")
@click.option(
    "--force",
    is_flag=True,
    help="Although its owner lives, or it is locked. Work in it is kept all the same.",
)
@json_option
def remove(name: str, force: bool, as_json: bool) -> None:
    """Remove a worktree; work that is not merged is kept under refs/octet/rescue/ first, and an
    unmerged branch stays.
    """
    with opened() as octet:
        removed = move_out(octet, _find(_project(octet), name), by=caller(octet), force=force)
    kept = f"; its work is {removed.rescue.ref} ({removed.rescue.size})" if removed.rescue else ""
    branch = f"; branch {plain(removed.branch)} stays" if removed.branch else ""
    emit(removed, f"removed {plain(removed.path)}{kept}{branch}", as_json)


@worktree_group.command("doctor")
@click.option(
    "--fix",
    is_flag=True,
    help="Do what loses nothing: unlock after the dead, remove what is merged or gone, free ports.",
)
@json_option
def doctor(fix: bool, as_json: bool) -> None:
    """What may be tidied up: stale worktrees, locks of dead processes, ports of worktrees that are
    gone.
    """
    with opened() as octet:
        project = _project(octet)
        findings = list(diagnose(survey(octet, project, sizes=False), base_branch(project)))
        done = _mend(octet, project, findings) if fix else []
    ports = list(free_dead_ports()) if fix else []
    rest = [finding for finding in findings if finding not in done]
    lines = [f"{plain(one.name)} {one.what}: done" for one in done]
    lines += [
        f"{plain(one.name)} {one.what}: {plain(one.advice)}{' (--fix does it)' if one.safe else ''}"
        for one in rest
    ]
    lines += [f"freed ports {', '.join(map(str, ports))}"] if ports else []
    data = {
        "done": [asdict(one) for one in done],
        "left": [asdict(one) for one in rest],
        "ports": ports,
    }
    emit(data, "\n".join(lines) or "all is well", as_json)


@worktree_group.command("snapshot")
@click.option("--name", help="Under refs/octet/rescue/; default: the worktree's task, or its name.")
@json_option
def snapshot(name: str | None, as_json: bool) -> None:
    """Keep this checkout's uncommitted work under refs/octet/rescue/, and change nothing; instead
    of `git stash`.
    """
    with opened() as octet:
        project = _project(octet)
        here = find_worktree(start_directory() or Path.cwd())
        if here is None or here.common_dir != project.common_dir:
            raise Refused("this directory is in no checkout of the project")
        tenancy = read_tenancy(here.git_dir) if not here.is_main else None
        label = name or (tenancy.task if tenancy else here.name or "main-checkout")
        check_name(label)
        kept = take_snapshot(
            Git(here.path),
            label,
            str(tenancy.attempt) if tenancy else "1",
            base=base_branch(project),
        )
    if kept is None:
        emit({"snapshot": None}, "nothing to keep: all of it is committed and merged", as_json)
        return
    left = f"; left out: {', '.join(map(ascii, kept.skipped))}" if kept.skipped else ""
    emit(
        {"snapshot": asdict(kept)},
        f"kept as {kept.ref} ({kept.size}){left}; `octet task rescue {label}` applies it",
        as_json,
    )


def _held_task(octet: Octet, agent: Agent, task_id: str | None) -> Task:
    if task_id:
        task = octet.tasks.get(task_id)
        if task.holder != agent.id:
            raise Refused(
                f"task {task_id} is not yours ({agent.id}): claim it first with `octet task "
                f"claim {task_id}`"
            )
        return task
    held = [task for task in octet.tasks.held_by(agent.id) if task.state == TaskState.CLAIMED]
    if len(held) != 1:
        raise Refused(
            f"{agent.id} holds {len(held)} tasks: "
            + ("name the one" if held else "claim one first with `octet task claim`")
        )
    return held[0]


def _project(octet: Octet) -> Project:
    if octet.project is None or octet.project.common_dir is None:
        raise UsageError("worktrees need a git repository: run `git init` and make a first commit")
    return octet.project


def _find(project: Project, name: str) -> Worktree:
    """The worktree with that name, branch, task or path.

    Raises:
        NotFound, Refused: there is none, or more than one.
    """
    found = [
        tree
        for tree in linked_checkouts(project)
        if name in (tree.path.name, tree.branch, str(tree.path))
    ]
    found = found or [tree for tree in linked_checkouts(project) if _task_of(project, tree) == name]
    if not found:
        raise NotFound(f"no worktree {name!r}: `octet worktree list` shows them")
    if len(found) > 1:
        raise Refused(
            f"{name} names {len(found)} worktrees: give the path, one of "
            f"{', '.join(str(tree.path) for tree in found[:5])}"
        )
    return found[0]


def _task_of(project: Project, tree: Worktree) -> str:
    worktree = linked_worktree(project, tree.path)
    tenancy = read_tenancy(worktree.git_dir) if worktree else None
    return tenancy.task if tenancy else ""


def _mend(octet: Octet, project: Project, findings: Sequence[Finding]) -> list[Finding]:
    done = []
    for finding in findings:
        tree = _find(project, finding.name) if finding.safe else None
        if tree and finding.act == "unlock":
            Git(project.root).out("worktree", "unlock", str(tree.path))
            done.append(finding)
        elif tree and finding.act == "remove":
            move_out(octet, tree, by=caller(octet))
            done.append(finding)
    return done


def _data(found: Standing) -> dict[str, object]:
    return {**asdict(found), "stale": found.stale, "state": found.state}


def _table(found: Sequence[Standing]) -> str:
    rows = []
    for one in found:
        owner = one.owner or (f"({one.made_for})" if one.made_for else "")
        rows.append([one.name, one.branch, owner, one.task, _size(one.bytes), one.state])
    return table(["NAME", "BRANCH", "OWNER", "TASK", "DISK", "STATE"], rows)


def _size(count: int) -> str:
    return "" if count < 0 else f"{count / 2**20:.1f} MB"


def _describe(moved: Moved) -> str:
    lines = [f"{moved.branch} in {plain(moved.path)}"]
    lines += [f"  {name}={port}" for name, port in moved.ports.items()]
    lines += ["  set up"] if moved.setup.ran and not moved.setup.failure else []
    return "\n".join([*lines, *(plain(notice, 500) for notice in moved.notices)])
