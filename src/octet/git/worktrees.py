"""The worktrees of a repository as git lists them; one is added for each attempt at a task."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from octet.base.errors import Refused, UsageError
from octet.git.program import Git, GitFailed

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
BRANCH_PREFIX = "octet/"
MERGE_WORKTREE = "octet-merge"
TEST_WORKTREE_PREFIX = f"{MERGE_WORKTREE}-try"


@dataclass(frozen=True)
class ListedWorktree:
    """One checkout."""

    path: Path
    head: str = ""  # "" when there is no commit yet
    branch: str = ""  # "" when HEAD is detached
    bare: bool = False
    locked: bool = False
    reason: str = ""  # of the lock


def list_worktrees(git: Git) -> list[ListedWorktree]:
    """All worktrees that git knows, the main checkout first; some may no longer be on disk.

    Raises:
        GitFailed: the directory is in no repository.
    """
    # Patient: git fails on a worktree that another process is adding or removing.
    ran = git.patient("worktree", "list", "--porcelain")
    if ran.status != 0:
        raise GitFailed(f"git worktree in {git.directory}: {ran.complaint}")
    return [_read_block(block) for block in ran.out.split("\n\n") if block.strip()]


def check_name(name: str) -> None:
    """Refuse a name that cannot be part of a ref and of a path.

    Raises:
        UsageError: it names the characters that can.
    """
    if not _NAME.fullmatch(name) or ".." in name or name.endswith((".", ".lock")):
        raise UsageError(f"{name!r} cannot name a branch: use letters, digits, '.', '_' and '-'")


def branch_of(task: str, attempt: int = 1) -> str:
    """The branch of an attempt at a task: `octet/<task>`, from the second attempt on
    `octet/<task>-<attempt>`.

    A second attempt leaves the first one's branch and directory alone: they may hold the only copy
    of a dead agent's work.

    Raises:
        UsageError: the task's id cannot be part of a branch's name.
    """
    check_name(task)
    return f"{BRANCH_PREFIX}{task}" if attempt == 1 else f"{BRANCH_PREFIX}{task}-{attempt}"


def add_worktree(
    git: Git, directory: Path, task: str, *, base: str, attempt: int = 1
) -> ListedWorktree:
    """Check a task's branch out in a directory of its own, from the tip of branch `base`.

    Safe in any number of processes at once. An agent that asks again gets the worktree it has.

    Args:
        directory: of the worktrees; the new one is named like the last part of its branch.

    Raises:
        Refused: the branch is checked out elsewhere, or something else is in the way.
        UsageError: no such base branch, or a task id that cannot name a branch.
        GitFailed: git failed.
    """
    branch = branch_of(task, attempt)
    path = directory.resolve() / branch.removeprefix(BRANCH_PREFIX)
    tip = git.commit(f"refs/heads/{base}")
    if not tip:
        raise UsageError(f"there is no branch {base} to start from: make its first commit")
    if present := next((tree for tree in list_worktrees(git) if tree.branch == branch), None):
        return _reuse(present, path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Refused(f"{path} is in the way and no worktree of {branch}: move it")
    if not git.commit(f"refs/heads/{branch}"):
        # Two commands, because `worktree add -b` that fails half-way leaves the branch, and its
        # next try stops there.
        git.patient("branch", "--no-track", branch, tip)
    ran = git.patient("worktree", "add", "--quiet", str(path), branch)
    if ran.status != 0:
        raise GitFailed(f"no worktree for {branch}: {ran.complaint}")
    return ListedWorktree(path, git.commit(f"refs/heads/{branch}"), branch)


def _reuse(present: ListedWorktree, path: Path) -> ListedWorktree:
    if present.path == path and path.is_dir():
        return present
    if present.path == path:
        raise Refused(f"the worktree {path} is gone from disk: `git worktree prune`, then again")
    raise Refused(f"{present.branch} is checked out in {present.path}")


def _read_block(block: str) -> ListedWorktree:
    lines = block.splitlines()
    fields = {key: value for key, _, value in (line.partition(" ") for line in lines)}
    head = fields.get("HEAD", "")
    return ListedWorktree(
        path=Path(fields["worktree"]),
        head="" if set(head) == {"0"} else head,
        branch=fields.get("branch", "").removeprefix("refs/heads/"),
        bare="bare" in fields,
        locked="locked" in fields,
        reason=fields.get("locked", ""),
    )


def is_merge_worktree(path: Path) -> bool:
    """Whether a worktree, by its name, is one of the merge's or the test gate's."""
    return path.name == MERGE_WORKTREE or path.name.startswith(TEST_WORKTREE_PREFIX)
