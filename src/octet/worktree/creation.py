"""An agent's worktree made ready for a task: branch, files, ports, set-up, registration, lock.

prepared = prepare_worktree(octet, agent, task)
prepared.path                                    # where the agent works
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from octet.base.errors import LockHeld, Refused
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task
from octet.git.program import Git
from octet.git.snapshot import has_unlanded_work
from octet.git.worktrees import add_worktree, branch_of
from octet.guard.paths import worktree_resource
from octet.project.repository import Project, Worktree
from octet.worktree.locking import LOCK_TIMEOUT_S, file_lock, worktree_lock
from octet.worktree.ownership import (
    Ownership,
    find_linked_worktree,
    list_owned_worktrees,
    read_ownership,
    write_ownership,
)
from octet.worktree.ports import allocate_ports
from octet.worktree.provision import copy_included, write_ports
from octet.worktree.repository import base_branch, require_repository
from octet.worktree.setup import LIMIT_S, SetupResult, run_setup

MAX_ATTEMPTS = 100
SETUP_LOCK_TIMEOUT_S = LIMIT_S + LOCK_TIMEOUT_S


@dataclass(frozen=True)
class PreparedWorktree:
    """A worktree ready for work; each of `notices` tells what did not go as configured."""

    path: str
    branch: str
    task: str
    ports: Mapping[str, int]
    setup: SetupResult
    notices: tuple[str, ...] = ()


def prepare_worktree(
    octet: Octet, agent: Agent, task: Task, attempt: int | None = None
) -> PreparedWorktree:
    """The agent's worktree for a task that it holds: the existing one, else a new one from the
    protected branch's tip.

    Raises:
        Refused, UsageError: it cannot be made as things are.
        GitFailed: git could not do it.
    """
    project = require_repository(octet)
    with worktree_lock(project, task.id):
        worktree, branch = _find_or_add(project, agent, task, attempt)
    with file_lock(worktree.git_dir / "octet.lock", SETUP_LOCK_TIMEOUT_S):
        prepared = _provision(project, worktree, branch, task)
    octet.agents.update(agent, worktree=str(worktree.path), branch=branch)
    try:
        octet.locks.acquire(agent, [worktree_resource(worktree)])
    except LockHeld as held:
        ask = f"ask with `octet msg send {held.holder} TEXT`"
        raise Refused(
            f"{worktree.path} is ready, but {held.holder} is writing in it: {ask}"
        ) from held
    return prepared


def _find_or_add(
    project: Project, agent: Agent, task: Task, attempt: int | None
) -> tuple[Worktree, str]:
    """A worktree recorded as this agent's for this task, and its branch."""
    if attempt is None:
        if found := _existing(project, agent, task):
            return found
        attempt = _free_attempt(Git(project.root), task)
        if native := _unused_native(project, agent):
            return _switch_native(project, native, agent, task, attempt)
    return _add(project, agent, task, attempt)


def _existing(project: Project, agent: Agent, task: Task) -> tuple[Worktree, str] | None:
    for listed, worktree, ownership in list_owned_worktrees(project):
        if (ownership.task, ownership.agent) == (task.id, agent.id):
            return worktree, listed.branch
    return None


def _free_attempt(git: Git, task: Task) -> int:
    """The task's attempt; a later number where an earlier holder's branch has that one, because the
    branch may hold the only copy of that holder's work.
    """
    first = max(1, task.attempts)
    for attempt in range(first, first + MAX_ATTEMPTS):
        if not git.commit(f"refs/heads/{branch_of(task.id, attempt)}"):
            return attempt
    raise Refused(
        f"{branch_of(task.id, first)} and {MAX_ATTEMPTS} branches after it exist: delete "
        "those that are merged"
    )


def _unused_native(project: Project, agent: Agent) -> Worktree | None:
    """The worktree that the client made for this agent (`isolation: worktree`), if it is unused."""
    worktree = find_linked_worktree(project, agent.worktree)
    if worktree is None or read_ownership(worktree):
        return None
    return None if has_unlanded_work(Git(worktree.path), base_branch(project)) else worktree


def _switch_native(
    project: Project, native: Worktree, agent: Agent, task: Task, attempt: int
) -> tuple[Worktree, str]:
    branch, start = branch_of(task.id, attempt), f"refs/heads/{base_branch(project)}"
    Git(native.path).out("switch", "--quiet", "--no-track", "-c", branch, start)
    write_ownership(native, Ownership(task.id, attempt, agent.id))
    return native, branch


def _add(project: Project, agent: Agent, task: Task, attempt: int) -> tuple[Worktree, str]:
    directory = project.root / project.config.worktree_directory
    listed = add_worktree(
        Git(project.root), directory, task.id, base=base_branch(project), attempt=attempt
    )
    worktree = find_linked_worktree(project, listed.path)
    if worktree is None:
        raise Refused(f"{listed.path} is no worktree of {project.root}: see `git worktree list`")
    before = read_ownership(worktree)
    set_up = bool(before and before.set_up)
    write_ownership(worktree, Ownership(task.id, attempt, agent.id, set_up))
    return worktree, listed.branch


def _provision(project: Project, worktree: Worktree, branch: str, task: Task) -> PreparedWorktree:
    notices = [f"not copied: {line}" for line in copy_included(project.root, worktree.path)]
    names = project.config.worktree_ports
    ports = allocate_ports(worktree.path, names) if names else {}
    if names:
        write_ports(worktree.path, ports)
    setup = _set_up_once(project, worktree, ports)
    if setup.failure:
        notices.append(setup.failure)
    return PreparedWorktree(str(worktree.path), branch, task.id, ports, setup, tuple(notices))


def _set_up_once(project: Project, worktree: Worktree, ports: Mapping[str, int]) -> SetupResult:
    ownership = read_ownership(worktree)
    if ownership is None or ownership.set_up:
        return SetupResult()
    setup = run_setup(project, worktree.path, worktree.git_dir, ports)
    if setup.ran:
        write_ownership(worktree, replace(ownership, set_up=True))
    return setup
