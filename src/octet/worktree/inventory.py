"""The worktrees of a repository as they are: whose, how big, with what work in them; and what may
be tidied up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.git.program import Git
from octet.git.snapshot import read_changes
from octet.git.worktrees import Worktree as Checkout
from octet.git.worktrees import is_scratch
from octet.project.repository import Project, is_within, real_path
from octet.worktree.ownership import (
    is_lock_dead,
    linked_checkouts,
    linked_worktree,
    owner_of,
    read_tenancy,
)
from octet.worktree.rescue import base_branch


@dataclass(frozen=True)
class Standing:
    """One worktree. `changed` counts files that are not committed, `unmerged` commits that the
    protected branch lacks.

    `owner` is the agent registered with it, "" when that is nobody or is gone; `made_for` whom it
    was made for. `ours` is false for one that a person made in a place of their own. `lock` is why
    git keeps it, `lock_dead` whether the process named there has ended. `bytes` is what it takes on
    disk, -1 where that was not counted.
    """

    name: str
    path: str
    branch: str
    head: str
    task: str = ""
    owner: str = ""
    made_for: str = ""
    changed: int = 0
    unmerged: int = 0
    ours: bool = True
    missing: bool = False
    broken: bool = False
    lock: str = ""
    lock_dead: bool = False
    bytes: int = -1

    @property
    def stale(self) -> bool:
        """Nobody works in it any more."""
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
class Finding:
    """Something to tidy up. `safe` says that `--fix` does it, by `act` (unlock, remove)."""

    name: str
    what: str
    advice: str
    act: str = ""

    @property
    def safe(self) -> bool:
        return bool(self.act)


def survey(octet: Octet, project: Project, *, sizes: bool = True) -> Sequence[Standing]:
    """All linked worktrees but those in which merges are tested."""
    base, agents = base_branch(project), octet.agents.list()
    trees = [tree for tree in linked_checkouts(project) if not is_scratch(tree.path)]
    return [_stand(project, tree, base, agents, sizes) for tree in trees]


def diagnose(standings: Sequence[Standing], base: str) -> Iterator[Finding]:
    """What to tidy up, and how; a person's own worktrees are theirs to tidy."""
    for found in (standing for standing in standings if standing.ours):
        if found.lock_dead:
            yield Finding(
                found.name,
                "is locked by a process that has ended",
                f"git worktree unlock {found.name}",
                "unlock",
            )
        if found.broken:
            yield Finding(found.name, "has lost its .git file", f"git worktree repair {found.path}")
        elif found.missing and not (found.lock and not found.lock_dead):
            yield Finding(
                found.name,
                "is not on disk any more",
                f"octet worktree remove {found.name}",
                "remove",
            )
        elif found.stale and not (found.changed or found.unmerged):
            yield Finding(
                found.name,
                f"is nobody's, and all of it is in {base}",
                f"octet worktree remove {found.name}",
                "remove",
            )
        elif found.stale:
            work = f"{found.changed} changed files and {found.unmerged} commits"
            advice = f"octet worktree remove {found.name} (keeps them under refs/octet/rescue/)"
            yield Finding(found.name, f"is nobody's and has {work}", advice)


def disk_use(directory: Path) -> int:
    """Bytes on disk below a directory; what cannot be read counts as nothing."""
    total = 0
    for place, _, names in os.walk(directory):
        for name in names:
            try:
                total += Path(place, name).lstat().st_blocks * 512
            except OSError:
                continue  # it went while we looked
    return total


def _stand(
    project: Project, tree: Checkout, base: str, agents: Sequence[Agent], sizes: bool
) -> Standing:
    worktree = linked_worktree(project, tree.path)
    tenancy = read_tenancy(worktree.git_dir) if worktree else None
    owner = owner_of(agents, tree.path, tenancy)
    git = Git(project.root)
    changes = read_changes(git.at(tree.path)) if worktree else None
    unmerged = (
        git.run("rev-list", "--count", tree.head, f"^refs/heads/{base}").out if tree.head else ""
    )
    return Standing(
        name=tree.path.name,
        path=str(tree.path),
        branch=tree.branch,
        head=tree.head,
        task=tenancy.task if tenancy else "",
        owner=owner.id if owner else "",
        made_for=tenancy.agent if tenancy else "",
        changed=len(changes.paths) + len(changes.foreign) if changes else 0,
        unmerged=int(unmerged or 0),
        ours=tenancy is not None
        or is_within(tree.path, real_path(project.root / project.config.worktree_directory)),
        missing=not tree.path.is_dir(),
        broken=tree.path.is_dir() and worktree is None,
        lock=(tree.reason or "locked") if tree.locked else "",
        lock_dead=tree.locked and is_lock_dead(tree.reason),
        bytes=disk_use(tree.path) if sizes and worktree else -1,
    )
