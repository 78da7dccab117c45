"""Work of a claim that ends without a result: kept before its task is released, and applied by the
next holder.

    rescue_held_task(octet, "7")      # the holder releases the task: a snapshot, and a note on it
    rescue_claims(octet, agent, tasks)    # the same for all claims of an agent that died or leaves
    apply_rescue(git, ref)                # in the next holder's worktree
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from octet.base.errors import NotFound, OctetError, Refused
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task, TaskState
from octet.git.program import Git
from octet.git.snapshot import (
    Snapshot,
    is_snapshot,
    list_snapshots,
    measure,
    read_changes,
    take_snapshot,
)
from octet.project.repository import Project
from octet.store.scripts import Reply
from octet.worktree.ownership import claim_worktrees
from octet.worktree.repository import base_branch

log = logging.getLogger("octet.worktree.rescue")


def rescue_held_task(octet: Octet, task_id: str) -> Snapshot | None:
    """Keep the holder's work before a command releases its task. Never raises: the worktree itself
    stays as it is.
    """
    try:
        task = octet.tasks.get(task_id)
        holder = octet.agents.get(task.holder)
        return rescue_task(octet, holder, task)
    except OctetError as error:
        log.warning("the work on %s is only in its worktree: %s", task_id, error)
        return None


def rescue_claims(octet: Octet, agent: Agent, tasks: list[Task]) -> None:
    """Keep a dead or leaving agent's work, for each task that it holds; failures are logged."""
    for task in tasks:
        try:
            rescue_task(octet, agent, task)
        except OctetError as error:
            _log_not_kept(agent, task, error)


def rescue_task(octet: Octet, agent: Agent, task: Task) -> Snapshot | None:
    """Keep an agent's unfinished work on a task and note it there; None if there is none.

    Raises:
        GitFailed, StoreUnreachable: it could not be kept, or not be noted.
    """
    if octet.project is None or octet.project.common_dir is None or task.state != TaskState.CLAIMED:
        return None
    return _rescue(octet, octet.project, agent, task, task.attempts)


def rescue_lost_claims(octet: Octet, agent: Agent, lost: Sequence[tuple[Task, int]]) -> None:
    """Keep the work of an agent that was declared dead but is alive: on each task that was taken
    from it, with its own attempt number.
    """
    for task, attempt in lost:
        try:
            if octet.project and octet.project.common_dir:
                _rescue(octet, octet.project, agent, task, attempt)
        except OctetError as error:
            _log_not_kept(agent, task, error)


def _log_not_kept(agent: Agent, task: Task, error: OctetError) -> None:
    log.warning("the work of %s on %s is only in its worktree: %s", agent.id, task.id, error)


def _rescue(
    octet: Octet, project: Project, agent: Agent, task: Task, attempt: int
) -> Snapshot | None:
    base = base_branch(project)
    kept: list[Snapshot] = []
    for worktree in claim_worktrees(project, agent, task):
        found = take_snapshot(Git(worktree.path), task.id, str(max(1, attempt)), base=base)
        if found and found.ref:
            kept.append(found)
            log.info(
                "the work of %s on %s is kept as %s: %s", agent.id, task.id, found.ref, found.size
            )
    if not kept:
        return None
    record_rescue(octet, agent.id, task.id, kept[0])
    return kept[0]


def record_rescue(octet: Octet, author: str, task_id: str, snapshot: Snapshot) -> None:
    """Write on the task where the work is; a message tells another agent that holds it by now.

    Raises:
        StoreUnreachable: the store does not answer; the snapshot exists all the same.
    """
    reply = octet.store.run(
        "task/rescued", id=task_id, ref=snapshot.ref, size=snapshot.size, agent=author
    )
    if reply[0] == Reply.MISSING:
        return
    holder = reply[2]
    if holder and holder != author:
        left = f"Task {task_id}: {author} left unfinished work, {snapshot.ref} ({snapshot.size})."
        text = f"{left} `octet task rescue {task_id}` applies it."
        octet.messages.send(holder, text, sender=author)


def list_rescues(project: Project, task_id: str) -> list[tuple[str, str]]:
    """Ref and size of each snapshot of a task, latest first."""
    git, base = Git(project.root), base_branch(project)
    return [(ref, measure(git, ref, base)) for ref in list_snapshots(git, task_id)]


def apply_rescue(git: Git, ref: str) -> str:
    """Bring kept work into the clean worktree `git.directory`: commits are merged, uncommitted work
    becomes staged changes.

    Returns:
        What happened, in a line.

    Raises:
        NotFound: there is no such ref.
        Refused: the worktree has changes of its own, or the work conflicts; the message says
            whether conflicts are left to resolve.
    """
    commit = git.commit(ref)
    if not commit:
        raise NotFound(f"there is no {ref}: `octet task rescue --list TASK` shows what there is")
    if read_changes(git).paths:
        raise Refused(f"{git.directory} has changes of its own: commit them, then apply {ref}")
    uncommitted = is_snapshot(git, commit)
    parents = git.out("log", "-1", "--format=%P", commit).split() if uncommitted else [commit]
    if parents and git.run("merge", "--quiet", "--no-edit", parents[0]).status != 0:
        git.run("merge", "--abort")
        raise Refused(
            f"the commits under {ref} conflict with this branch: "
            f"`git merge {parents[0][:12]}` shows where"
        )
    if uncommitted:
        mainline = ["-m", "1"] if len(parents) > 1 else []
        picked = git.run("cherry-pick", "--no-commit", *mainline, commit)
        if picked.status != 0:
            raise Refused(f"{ref} is applied, with conflicts: resolve them, then commit")
    staged = ": what was not committed is staged now" if uncommitted else ""
    return f"{ref} is applied{staged}"
