"""Work of a claim that ends without a result, kept before its task goes back, and handed to whoever
claims it next.

keep_work(octet, "7")                       # the holder gives the task back: snapshot, and a note
on the task rescue_claims(octet, agent)                 # the same for all claims of an agent that
is dead or leaves apply_rescue(git, ref)                      # in the next holder's worktree
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from octet.base.errors import NotFound, OctetError, Refused, UsageError
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
from octet.worktree.ownership import worktrees_of

log = logging.getLogger("octet.worktree.rescue")


def base_branch(project: Project) -> str:
    """The protected branch that work starts from and goes back to: the first of those named that
    there is.

    Raises:
        UsageError: there is none.
    """
    git = Git(project.root)
    for name in project.config.protected:
        if not any(sign in name for sign in "*?[") and git.commit(f"refs/heads/{name}"):
            return name
    raise UsageError(
        f"none of the protected branches ({', '.join(project.config.protected)}) exists: "
        "make its first commit"
    )


def keep_work(octet: Octet, task_id: str) -> Snapshot | None:
    """Before a task is given back by command: keep the work of its holder. Never raises: the
    worktree itself stays as it is.
    """
    try:
        task = octet.tasks.get(task_id)
        holder = octet.agents.get(task.holder)
        return rescue_task(octet, holder, task)
    except OctetError as error:
        log.warning("the work on %s is only in its worktree: %s", task_id, error)
        return None


def rescue_claims(octet: Octet, agent: Agent, tasks: list[Task]) -> None:
    """Keep the work of an agent that is dead or leaves, for each of the tasks it holds; what fails
    is logged.
    """
    for task in tasks:
        try:
            rescue_task(octet, agent, task)
        except OctetError as error:
            log.warning(
                "the work of %s on %s is only in its worktree: %s", agent.id, task.id, error
            )


def rescue_task(octet: Octet, agent: Agent, task: Task) -> Snapshot | None:
    """Keep an agent's unfinished work on a task and note it there; None where there is nothing to
    keep.

    Raises:
        GitFailed, StoreUnreachable: it could not be kept, or not be noted.
    """
    if octet.project is None or octet.project.common_dir is None or task.state != TaskState.CLAIMED:
        return None
    return _keep(octet, octet.project, agent, task, task.attempts)


def rescue_lost(octet: Octet, agent: Agent, lost: Sequence[tuple[Task, int]]) -> None:
    """The same for an agent that was declared dead and lives: the tasks that were taken from it,
    with the attempts that were its own.
    """
    for task, attempt in lost:
        try:
            if octet.project and octet.project.common_dir:
                _keep(octet, octet.project, agent, task, attempt)
        except OctetError as error:
            log.warning(
                "the work of %s on %s is only in its worktree: %s", agent.id, task.id, error
            )


def _keep(
    octet: Octet, project: Project, agent: Agent, task: Task, attempt: int
) -> Snapshot | None:
    base = base_branch(project)
    kept: list[Snapshot] = []
    for worktree in worktrees_of(project, agent, task):
        found = take_snapshot(Git(worktree.path), task.id, str(max(1, attempt)), base=base)
        if found and found.ref:
            kept.append(found)
            log.info(
                "the work of %s on %s is kept as %s: %s", agent.id, task.id, found.ref, found.size
            )
    if not kept:
        return None
    note_rescue(octet, agent.id, task.id, kept[0])
    return kept[0]


def note_rescue(octet: Octet, author: str, task_id: str, snapshot: Snapshot) -> None:
    """Write on the task where the work is; whoever holds it meanwhile is told by message.

    Raises:
        StoreUnreachable: the store does not answer; the snapshot is there all the same.
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


def rescues_of(project: Project, task_id: str) -> list[tuple[str, str]]:
    """Ref and size of what was kept of a task, the latest first."""
    git, base = Git(project.root), base_branch(project)
    return [(ref, measure(git, ref, base)) for ref in list_snapshots(git, task_id)]


def apply_rescue(git: Git, ref: str) -> str:
    """Bring kept work into the clean worktree `git.directory`: its commits merged, what was not
    committed as staged changes.

    Returns:
        What happened, in a line.

    Raises:
        NotFound: there is no such ref.
        Refused: the worktree has changes of its own, or the work does not fit; then nothing, or
            conflicts, are left, as it says.
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
            f"the commits under {ref} conflict with this branch: `git merge "
            f"{parents[0][:12]}` shows where"
        )
    if uncommitted:
        mainline = ["-m", "1"] if len(parents) > 1 else []
        picked = git.run("cherry-pick", "--no-commit", *mainline, commit)
        if picked.status != 0:
            raise Refused(f"{ref} is applied, with conflicts: resolve them, then commit")
    return f"{ref} is applied" + (": what was not committed is staged now" if uncommitted else "")
