"""An agent's worktree from its creation to its removal; no work in it is ever lost.

moved = move_in(octet, agent, task)          # branch, files, ports, set-up, registration, lock
move_out(octet, tree, by=agent)              # snapshot of what is not merged, then removal
clean_up_merged(octet, "octet/7")            # after a merge: the branch's worktree, if nobody and
nothing needs it
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from octet.base import dirs
from octet.base.errors import (
    AgentGone,
    LockHeld,
    NotFound,
    OctetError,
    Refused,
    StaleToken,
    UsageError,
)
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.tasks import Task
from octet.git.program import Git, GitFailed
from octet.git.snapshot import Snapshot, has_work, keep_commit, take_snapshot
from octet.git.worktrees import BRANCH_PREFIX, add_worktree, branch_of
from octet.git.worktrees import Worktree as Checkout
from octet.guard.paths import worktree_resource
from octet.project.repository import Project, Worktree, find_worktree, is_within
from octet.worktree.ownership import (
    Tenancy,
    is_here,
    is_lock_dead,
    linked_checkouts,
    linked_worktree,
    owner_of,
    read_tenancy,
    write_tenancy,
)
from octet.worktree.ports import allocate_ports, free_ports
from octet.worktree.provision import copy_included, write_ports
from octet.worktree.rescue import base_branch, note_rescue
from octet.worktree.setup import LIMIT_S, Setup, run_setup

MOST_ATTEMPTS = 100
LOCK_TIMEOUT_S = 60.0
SETUP_WAIT_S = LIMIT_S + LOCK_TIMEOUT_S
_STRIPES = 64


@dataclass(frozen=True)
class Moved:
    """A worktree ready for work; `notices` say what did not go as configured, a line each."""

    path: str
    branch: str
    task: str
    ports: Mapping[str, int]
    setup: Setup
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Removed:
    """A worktree that is gone; `rescue` is the snapshot of its work, None when all of it was
    merged. `branch` is "" when it went too.
    """

    name: str
    path: str
    branch: str
    rescue: Snapshot | None


def move_in(octet: Octet, agent: Agent, task: Task, attempt: int | None = None) -> Moved:
    """The agent's worktree for a task that it holds: the one it has, else a new one from the
    protected branch's tip.

    Raises:
        Refused, UsageError: it cannot be made as things are.
        GitFailed: git could not do it.
    """
    project = _project(octet)
    with _alone(project, task.id):
        worktree, branch = _checked_out(project, agent, task, attempt)
    with _held(worktree.git_dir / "octet.lock", SETUP_WAIT_S):
        moved = _provide(project, worktree, branch, task)
    octet.agents.update(agent, worktree=str(worktree.path), branch=branch)
    try:
        octet.locks.acquire(agent, [worktree_resource(worktree)])
    except LockHeld as held:
        ask = f"ask with `octet msg send {held.holder} TEXT`"
        raise Refused(
            f"{worktree.path} is ready, but {held.holder} is writing in it: {ask}"
        ) from held
    return moved


def move_out(octet: Octet, tree: Checkout, *, by: Agent | None, force: bool = False) -> Removed:
    """Remove a worktree; what is not merged is kept under `refs/octet/rescue/` first, and a branch
    that is not merged stays.

    Args:
        force: although its owner lives, or a person has locked it.

    Raises:
        Refused: somebody needs it, or it holds what no snapshot can keep.
        GitFailed: git could not do it.
    """
    project = _project(octet)
    worktree = linked_worktree(project, tree.path)
    tenancy = read_tenancy(worktree.git_dir) if worktree else None
    if not force and (why := _in_use(octet, tree, tenancy, by)):
        raise Refused(f"{tree.path} stays: {why}")
    base, git = base_branch(project), Git(project.root)
    name = tenancy.task if tenancy else _snapshot_name(tree)
    with _alone(project, name):
        kept = _keep(
            git,
            tree,
            name,
            str(tenancy.attempt) if tenancy else "1",
            base,
            worktree.git_dir if worktree else None,
        )
        if tree.locked:
            git.patient("worktree", "unlock", str(tree.path))
        ran = git.patient("worktree", "remove", "--force", str(tree.path))
        if ran.status != 0:
            raise GitFailed(f"{tree.path} stays: {ran.complaint}")
    branch = _drop_branch(git, tree, base)
    free_ports(tree.path)
    _deregister(octet, worktree, tree)
    if kept and tenancy:
        note_rescue(octet, tenancy.agent, tenancy.task, kept)
    return Removed(tree.path.name, str(tree.path), branch, kept)


def clean_up_merged(octet: Octet, branch: str, landed: str = "") -> str:
    """After a merge: remove the branch's worktree if it is clean, merged and nobody is in it. Why
    it stays, or "". Never raises.

    `landed`: the commit of the branch that came in, by a squash or a rebase under another name.
    """
    try:
        project = _project(octet)
        git, base = Git(project.root), base_branch(project)
        for tree in linked_checkouts(project):
            if tree.branch != branch or not branch.startswith(BRANCH_PREFIX):
                continue
            if tree.locked or _is_inhabited(octet, tree):
                return f"{tree.path} stays: somebody is in it"
            if has_work(git.at(tree.path), base, landed):
                return f"{tree.path} stays: it has work that is not in {base}"
            if tree.head == landed and not git.contains(f"refs/heads/{base}", landed):
                _let_go(octet, project, tree)
            else:
                move_out(octet, tree, by=None, force=True)
    except OctetError as error:
        return str(error)
    return ""


def _let_go(octet: Octet, project: Project, tree: Checkout) -> None:
    """Remove a clean worktree and its branch, whose commits came in under other names. Git looks
    once more for changes.
    """
    git, worktree = Git(project.root), linked_worktree(project, tree.path)
    ran = git.patient("worktree", "remove", str(tree.path))
    if ran.status != 0:
        raise GitFailed(f"{tree.path} stays: {ran.complaint}")
    git.patient("update-ref", "-d", f"refs/heads/{tree.branch}", tree.head)
    free_ports(tree.path)
    _deregister(octet, worktree, tree)


def _checked_out(
    project: Project, agent: Agent, task: Task, attempt: int | None
) -> tuple[Worktree, str]:
    """A worktree for this agent and task on a branch of its own, recorded as that."""
    git, base = Git(project.root), base_branch(project)
    trees = linked_checkouts(project)
    if attempt is None:
        for tree in trees:
            worktree = linked_worktree(project, tree.path)
            tenancy = read_tenancy(worktree.git_dir) if worktree else None
            if worktree and tenancy and (tenancy.task, tenancy.agent) == (task.id, agent.id):
                return worktree, tree.branch
        attempt = _free_attempt(git, task)
        if native := _vacant_native(project, agent, base):
            branch = branch_of(task.id, attempt)
            git.at(native.path).out(
                "switch", "--quiet", "--no-track", "-c", branch, f"refs/heads/{base}"
            )
            write_tenancy(native.git_dir, Tenancy(task.id, attempt, agent.id))
            return native, branch
    tree = add_worktree(
        git, project.root / project.config.worktree_directory, task.id, base=base, attempt=attempt
    )
    worktree = linked_worktree(project, tree.path)
    if worktree is None:
        raise Refused(f"{tree.path} is no worktree of {project.root}: look at `git worktree list`")
    before = read_tenancy(worktree.git_dir)
    write_tenancy(
        worktree.git_dir, Tenancy(task.id, attempt, agent.id, bool(before and before.set_up))
    )
    return worktree, tree.branch


def _free_attempt(git: Git, task: Task) -> int:
    """The task's attempt, or a later number where an earlier holder's branch has that one: it may
    hold the only copy of its work.
    """
    first = max(1, task.attempts)
    for attempt in range(first, first + MOST_ATTEMPTS):
        if not git.commit(f"refs/heads/{branch_of(task.id, attempt)}"):
            return attempt
    raise Refused(
        f"{branch_of(task.id, first)} and {MOST_ATTEMPTS} branches after it exist: delete "
        "those that are merged"
    )


def _vacant_native(project: Project, agent: Agent, base: str) -> Worktree | None:
    """The worktree that the client made for this agent (`isolation: worktree`), where nothing has
    been done yet.
    """
    worktree = linked_worktree(project, agent.worktree)
    if worktree is None or read_tenancy(worktree.git_dir) or has_work(Git(worktree.path), base):
        return None
    return worktree


def _provide(project: Project, worktree: Worktree, branch: str, task: Task) -> Moved:
    notices = [f"not copied: {line}" for line in copy_included(project.root, worktree.path)]
    names = project.config.worktree_ports
    ports = allocate_ports(worktree.path, names) if names else {}
    if names:
        write_ports(worktree.path, ports)
    tenancy = read_tenancy(worktree.git_dir)
    setup = Setup()
    if tenancy and not tenancy.set_up:
        setup = run_setup(project, worktree.path, worktree.git_dir, ports)
        if setup.ran:
            write_tenancy(
                worktree.git_dir, Tenancy(tenancy.task, tenancy.attempt, tenancy.agent, set_up=True)
            )
    if setup.failure:
        notices.append(setup.failure)
    return Moved(str(worktree.path), branch, task.id, ports, setup, tuple(notices))


def _in_use(octet: Octet, tree: Checkout, tenancy: Tenancy | None, by: Agent | None) -> str:
    if tree.locked and not is_lock_dead(tree.reason):
        return (
            f"it is locked ({tree.reason or 'no reason given'}): `git worktree unlock` it, or "
            "add --force"
        )
    owner = owner_of(octet.agents.list(), tree.path, tenancy)
    if owner and (by is None or owner.id != by.id):
        return f"{owner.id} works in it: ask with `octet msg send {owner.id} TEXT`, or add --force"
    return ""


def _is_inhabited(octet: Octet, tree: Checkout) -> bool:
    """Whether an agent's session stands in it, or its agent works there: on the task that it was
    made for, or in a native one on any.

    An author that waited has often claimed its next task by the time that its last one is merged,
    and has no worktree for it yet.
    """
    for agent in octet.agents.list():
        if not is_here(agent.host):
            continue
        if agent.cwd and is_within(Path(agent.cwd), tree.path):
            return True
    worktree = find_worktree(tree.path)
    tenancy = read_tenancy(worktree.git_dir) if worktree else None
    owner = owner_of(octet.agents.list(), tree.path, tenancy)
    held = [task.id for task in octet.tasks.held_by(owner.id)] if owner else []
    return tenancy.task in held if tenancy else bool(held)


def _keep(
    git: Git, tree: Checkout, name: str, attempt: str, base: str, git_dir: Path | None
) -> Snapshot | None:
    """The snapshot of a worktree that is about to go.

    Raises:
        Refused: not everything in it can be kept.
    """
    if not os.path.lexists(tree.path):
        return keep_commit(git, name, attempt, tree.head, base=base)
    if (
        git_dir is None
    ):  # git would look further up, and take the main checkout's files for this one's
        raise Refused(
            f"{tree.path} stays: its .git file is gone; `git worktree repair {tree.path}`, "
            "or move its files away"
        )
    if (git_dir / "modules").is_dir():
        raise Refused(
            f"{tree.path} stays: it has submodules, whose commits would be lost; `git "
            "submodule deinit --all` there first"
        )
    kept = None
    for _ in range(
        2
    ):  # the second one sees that nothing has changed meanwhile; it keeps nothing new then
        kept = take_snapshot(git.at(tree.path), name, attempt, base=base)
        if kept and kept.skipped:
            raise Refused(
                f"{tree.path} stays: {', '.join(map(ascii, kept.skipped[:3]))} cannot be "
                "kept by git: move that away first"
            )
    return kept


def _drop_branch(git: Git, tree: Checkout, base: str) -> str:
    """Delete Octet's own branch where it is merged; the branch that stays, or ""."""
    if not tree.branch.startswith(BRANCH_PREFIX) or not git.contains(
        f"refs/heads/{base}", tree.head
    ):
        return tree.branch
    return (
        ""
        if git.patient("update-ref", "-d", f"refs/heads/{tree.branch}", tree.head).status == 0
        else tree.branch
    )


def _deregister(octet: Octet, worktree: Worktree | None, tree: Checkout) -> None:
    for agent in octet.agents.list():
        if agent.worktree == str(tree.path) and is_here(agent.host):
            with suppress(AgentGone):
                octet.agents.update(agent, worktree="", branch="")
    if worktree:
        resource = worktree_resource(worktree)
        with suppress(NotFound, StaleToken):
            octet.locks.release(resource, octet.locks.get(resource).token)


def _project(octet: Octet) -> Project:
    if octet.project is None or octet.project.common_dir is None:
        raise UsageError("worktrees need a git repository: run `git init` and make a first commit")
    return octet.project


def _snapshot_name(tree: Checkout) -> str:
    """The directory's name as part of a ref."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", tree.path.name).strip("-")
    return name or "worktree"


@contextmanager
def _alone(project: Project, name: str) -> Iterator[None]:
    """No other process of this machine makes or removes the worktree of that name meanwhile."""
    number = (
        int(
            hashlib.sha256(
                f"{project.common_dir}\0{name}".encode("utf-8", "surrogateescape")
            ).hexdigest(),
            16,
        )
        % _STRIPES
    )
    with _held(
        dirs.make_private(dirs.state_dir() / "worktrees") / f"{number}.lock", LOCK_TIMEOUT_S
    ):
        yield


@contextmanager
def _held(path: Path, timeout_s: float) -> Iterator[None]:
    try:
        with FileLock(path, timeout=timeout_s):
            yield
    except Timeout as error:
        raise Refused(
            f"another process has held {path} for {timeout_s:.0f} s: end it, then try again"
        ) from error
