"""A worktree removed without losing work.

remove_worktree(octet, listed, by=agent)     # a snapshot of unmerged work first
clean_up_merged(octet, "octet/7")            # after a merge, if the worktree is clean and unused
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from octet.base.errors import AgentGone, NotFound, OctetError, Refused, StaleToken
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.git.program import Git, GitFailed
from octet.git.snapshot import Snapshot, has_unlanded_work, keep_commit, take_snapshot
from octet.git.worktrees import BRANCH_PREFIX, ListedWorktree
from octet.guard.paths import worktree_resource
from octet.project.repository import Project, Worktree, find_worktree, is_within
from octet.worktree.locking import worktree_lock
from octet.worktree.ownership import (
    Ownership,
    find_linked_worktree,
    find_owner,
    is_lock_dead,
    is_this_host,
    list_linked_worktrees,
    read_ownership,
)
from octet.worktree.ports import release_ports
from octet.worktree.repository import base_branch, require_repository
from octet.worktree.rescue import record_rescue


@dataclass(frozen=True)
class RemovedWorktree:
    """A worktree that is gone. `rescue` is the snapshot of its work, None when all of it was
    merged; `branch` is "" when it is gone too.
    """

    name: str
    path: str
    branch: str
    rescue: Snapshot | None


def remove_worktree(
    octet: Octet, listed: ListedWorktree, *, by: Agent | None, force: bool = False
) -> RemovedWorktree:
    """Remove a worktree. Unmerged work is first kept under `refs/octet/rescue/`, and an unmerged
    branch stays.

    Args:
        force: also if its owner is alive, or a person has locked it.

    Raises:
        Refused: it is in use, or holds something that no snapshot can keep.
        GitFailed: git could not do it.
    """
    project = require_repository(octet)
    worktree = find_linked_worktree(project, listed.path)
    ownership = read_ownership(worktree)
    if not force and (why := _why_in_use(octet, listed, ownership, by)):
        raise Refused(f"{listed.path} stays: {why}")
    base, git = base_branch(project), Git(project.root)
    name = ownership.task if ownership else _snapshot_name(listed)
    attempt = str(ownership.attempt) if ownership else "1"
    with worktree_lock(project, name):
        kept = _take_last_snapshot(git, listed, worktree, name, attempt, base)
        if listed.locked:
            git.patient("worktree", "unlock", str(listed.path))
        _remove_from_git(git, listed, "--force")
    branch = _delete_merged_branch(git, listed, base)
    _release_resources(octet, worktree, listed)
    if kept and ownership:
        record_rescue(octet, ownership.agent, ownership.task, kept)
    return RemovedWorktree(listed.path.name, str(listed.path), branch, kept)


def clean_up_merged(octet: Octet, branch: str, landed: str = "") -> str:
    """After a merge: remove the branch's worktree if it is clean, merged and unused. Returns why
    the worktree stays, or "". Never raises.

    Args:
        landed: the branch's commit that was merged, perhaps squashed or rebased into other commits.
    """
    if not branch.startswith(BRANCH_PREFIX):
        return ""
    try:
        project = require_repository(octet)
        for listed in list_linked_worktrees(project):
            if listed.branch == branch and (why := _clean_up(octet, project, listed, landed)):
                return why
    except OctetError as error:
        return str(error)
    return ""


def _clean_up(octet: Octet, project: Project, listed: ListedWorktree, landed: str) -> str:
    git, base = Git(project.root), base_branch(project)
    if listed.locked or _is_inhabited(octet, listed):
        return f"{listed.path} stays: an agent is in it"
    if has_unlanded_work(git.at(listed.path), base, landed):
        return f"{listed.path} stays: it has work that is not in {base}"
    if listed.head == landed and not git.contains(f"refs/heads/{base}", landed):
        _remove_rewritten(octet, project, listed)
    else:
        remove_worktree(octet, listed, by=None, force=True)
    return ""


def _remove_rewritten(octet: Octet, project: Project, listed: ListedWorktree) -> None:
    """Remove a clean worktree and its branch, whose commits were merged as other commits. Git looks
    for changes once more.
    """
    git, worktree = Git(project.root), find_linked_worktree(project, listed.path)
    _remove_from_git(git, listed)
    git.patient("update-ref", "-d", f"refs/heads/{listed.branch}", listed.head)
    _release_resources(octet, worktree, listed)


def _why_in_use(
    octet: Octet, listed: ListedWorktree, ownership: Ownership | None, by: Agent | None
) -> str:
    if listed.locked and not is_lock_dead(listed.reason):
        reason = listed.reason or "no reason given"
        return f"it is locked ({reason}): `git worktree unlock` it, or add --force"
    owner = find_owner(octet.agents.list(), listed.path, ownership)
    if owner and (by is None or owner.id != by.id):
        return f"{owner.id} works in it: ask with `octet msg send {owner.id} TEXT`, or add --force"
    return ""


def _is_inhabited(octet: Octet, listed: ListedWorktree) -> bool:
    """Whether an agent's current directory is in it, or its owner works there: on the task that it
    was made for, in a native worktree on any task.

    The owner alone does not count: an author that waited has often claimed its next task by the
    time its last one is merged, and has no worktree for that task yet.
    """
    agents = octet.agents.list()
    for agent in agents:
        if is_this_host(agent.host) and agent.cwd and is_within(Path(agent.cwd), listed.path):
            return True
    worktree = find_worktree(listed.path)
    ownership = read_ownership(worktree)
    owner = find_owner(agents, listed.path, ownership)
    held = [task.id for task in octet.tasks.held_by(owner.id)] if owner else []
    return ownership.task in held if ownership else bool(held)


def _take_last_snapshot(
    git: Git,
    listed: ListedWorktree,
    worktree: Worktree | None,
    name: str,
    attempt: str,
    base: str,
) -> Snapshot | None:
    """The snapshot of a worktree that is about to be removed.

    Raises:
        Refused: it cannot keep everything.
    """
    if not os.path.lexists(listed.path):
        return keep_commit(git, name, attempt, listed.head, base=base)
    # Without its `.git` file, git would look further up and take the main checkout for this one.
    if worktree is None:
        raise Refused(
            f"{listed.path} stays: its .git file is gone; `git worktree repair {listed.path}`, "
            "or move its files away"
        )
    if (worktree.git_dir / "modules").is_dir():
        raise Refused(
            f"{listed.path} stays: it has submodules, whose commits would be lost; "
            "`git submodule deinit --all` there first"
        )
    kept = None
    # The second pass catches a change made during the first; otherwise it adds nothing.
    for _ in range(2):
        kept = take_snapshot(git.at(listed.path), name, attempt, base=base)
        if kept and kept.skipped:
            raise Refused(
                f"{listed.path} stays: git cannot keep "
                f"{', '.join(map(ascii, kept.skipped[:3]))}: move that away first"
            )
    return kept


def _remove_from_git(git: Git, listed: ListedWorktree, *options: str) -> None:
    ran = git.patient("worktree", "remove", *options, str(listed.path))
    if ran.status != 0:
        raise GitFailed(f"{listed.path} stays: {ran.complaint}")


def _delete_merged_branch(git: Git, listed: ListedWorktree, base: str) -> str:
    """Delete Octet's own branch if it is merged; the branch if it stays, else ""."""
    if not listed.branch.startswith(BRANCH_PREFIX):
        return listed.branch
    if not git.contains(f"refs/heads/{base}", listed.head):
        return listed.branch
    ran = git.patient("update-ref", "-d", f"refs/heads/{listed.branch}", listed.head)
    return "" if ran.status == 0 else listed.branch


def _release_resources(octet: Octet, worktree: Worktree | None, listed: ListedWorktree) -> None:
    """The ports, the registrations and the lock of a worktree that is gone."""
    release_ports(listed.path)
    for agent in octet.agents.list():
        if agent.worktree == str(listed.path) and is_this_host(agent.host):
            with suppress(AgentGone):
                octet.agents.update(agent, worktree="", branch="")
    if worktree:
        resource = worktree_resource(worktree)
        with suppress(NotFound, StaleToken):
            octet.locks.release(resource, octet.locks.get(resource).token)


def _snapshot_name(listed: ListedWorktree) -> str:
    """The directory's name as part of a ref."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", listed.path.name).strip("-")
    return name or "worktree"
