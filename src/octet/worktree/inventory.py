"""The linked worktrees of a repository: owner, size, work in them, and problems to clean up."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.git.program import Git
from octet.git.snapshot import read_changes
from octet.git.worktrees import ListedWorktree, is_merge_worktree
from octet.project.repository import Project, is_within, real_path
from octet.worktree.ownership import (
    Ownership,
    find_linked_worktree,
    find_owner,
    is_lock_dead,
    list_linked_worktrees,
    read_ownership,
)
from octet.worktree.repository import base_branch


@dataclass(frozen=True)
class WorktreeStatus:
    """One linked worktree as it is now."""

    name: str  # last part of its path
    path: str
    branch: str  # "" if HEAD is detached
    head: str  # its commit, "" if there is none yet
    task: str = ""  # that it was made for
    owner: str = ""  # the living agent that works in it, "" if there is none
    made_for: str = ""  # the agent that it was made for
    changed: int = 0  # files that are not committed
    unmerged: int = 0  # commits that the protected branch lacks
    ours: bool = True  # false if a person made it elsewhere
    missing: bool = False  # its directory is gone
    broken: bool = False  # its `.git` file is gone
    lock: str = ""  # why git keeps it
    lock_dead: bool = False  # the process named there has ended
    bytes: int = -1  # on disk; -1 if not counted

    @property
    def stale(self) -> bool:
        """Whether it is unused: it has no owner and no valid lock."""
        return not self.owner and not (self.lock and not self.lock_dead)

    @property
    def state(self) -> str:
        """In a word or two, for people."""
        words = ["missing"] if self.missing else ["broken"] if self.broken else []
        words += ["lock of a dead process"] if self.lock_dead else ["locked"] if self.lock else []
        words += [f"{self.changed} changed"] if self.changed else []
        words += [f"{self.unmerged} unmerged"] if self.unmerged else []
        words += ["stale"] if self.stale and not self.missing else []
        return ", ".join(words) or "clean"


@dataclass(frozen=True)
class WorktreeProblem:
    """Something to clean up. `act` is what `--fix` does: unlock, remove, "" for nothing."""

    name: str
    what: str
    advice: str
    act: str = ""

    @property
    def safe(self) -> bool:
        """Whether `--fix` handles it."""
        return bool(self.act)


def take_inventory(
    octet: Octet, project: Project, *, sizes: bool = True
) -> Sequence[WorktreeStatus]:
    """All linked worktrees except those of the merge queue and the test gate."""
    base, agents = base_branch(project), octet.agents.list()
    return [
        _status(project, listed, base, agents, sizes)
        for listed in list_linked_worktrees(project)
        if not is_merge_worktree(listed.path)
    ]


def find_problems(inventory: Sequence[WorktreeStatus], base: str) -> Iterator[WorktreeProblem]:
    """What to clean up, and how; a person's own worktrees are left to that person."""
    for status in inventory:
        if status.ours and status.lock_dead:
            what, advice = (
                "is locked by a process that has ended",
                f"git worktree unlock {status.name}",
            )
            yield WorktreeProblem(status.name, what, advice, "unlock")
        if status.ours and (problem := _problem(status, base)):
            yield problem


def _problem(status: WorktreeStatus, base: str) -> WorktreeProblem | None:
    remove = f"octet worktree remove {status.name}"
    if status.broken:
        repair = f"git worktree repair {status.path}"
        return WorktreeProblem(status.name, "has lost its .git file", repair)
    if status.missing and not (status.lock and not status.lock_dead):
        return WorktreeProblem(status.name, "is not on disk any more", remove, "remove")
    if not status.stale:
        return None
    if status.changed or status.unmerged:
        work = f"{status.changed} changed files and {status.unmerged} commits"
        keeping = f"{remove} (keeps them under refs/octet/rescue/)"
        return WorktreeProblem(status.name, f"is unused and has {work}", keeping)
    return WorktreeProblem(status.name, f"is unused, and all of it is in {base}", remove, "remove")


def measure_disk_use(directory: Path) -> int:
    """Bytes on disk below a directory; unreadable files count as nothing."""
    total = 0
    for place, _, names in os.walk(directory):
        for name in names:
            try:
                total += Path(place, name).lstat().st_blocks * 512
            except OSError:
                continue  # removed since it was listed
    return total


def _status(
    project: Project, listed: ListedWorktree, base: str, agents: Sequence[Agent], sizes: bool
) -> WorktreeStatus:
    worktree = find_linked_worktree(project, listed.path)
    ownership = read_ownership(worktree)
    owner = find_owner(agents, listed.path, ownership)
    git = Git(project.root)
    changes = read_changes(git.at(listed.path)) if worktree else None
    return WorktreeStatus(
        name=listed.path.name,
        path=str(listed.path),
        branch=listed.branch,
        head=listed.head,
        task=ownership.task if ownership else "",
        owner=owner.id if owner else "",
        made_for=ownership.agent if ownership else "",
        changed=len(changes.paths) + len(changes.foreign) if changes else 0,
        unmerged=_count_unmerged(git, listed.head, base),
        ours=_is_ours(project, listed, ownership),
        missing=not listed.path.is_dir(),
        broken=listed.path.is_dir() and worktree is None,
        lock=(listed.reason or "locked") if listed.locked else "",
        lock_dead=listed.locked and is_lock_dead(listed.reason),
        bytes=measure_disk_use(listed.path) if sizes and worktree else -1,
    )


def _count_unmerged(git: Git, head: str, base: str) -> int:
    if not head:
        return 0
    return int(git.run("rev-list", "--count", head, f"^refs/heads/{base}").out or 0)


def _is_ours(project: Project, listed: ListedWorktree, ownership: Ownership | None) -> bool:
    directory = real_path(project.root / project.config.worktree_directory)
    return ownership is not None or is_within(listed.path, directory)
