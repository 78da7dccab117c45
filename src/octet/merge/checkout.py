"""The checkouts of a branch, and their index: changed in a copy that then replaces it at once.

Meanwhile the real index is locked by a file that says whose lock it is, so that a lock left by a
killed landing can be told from another git's. No git command of the landing ever holds that lock.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from octet.git.program import NO_HOOKS, Git
from octet.git.worktrees import ListedWorktree

COPY = "octet-index"
LOCK_TEXT = "octet: a landing is bringing this checkout along\n"


def checkouts_of(git: Git, branch: str, known: list[ListedWorktree]) -> list[Git]:
    """The worktrees that have the branch; some may no longer be on disk."""
    return [git.at(tree.path) for tree in known if tree.branch == branch and not tree.bare]


@contextmanager
def replaced_index(checkout: Git) -> Iterator[Git]:
    """The checkout with a copy of its index, which replaces the real one at the end.

    Raises:
        FileExistsError: another git has the lock, or has left it.
    """
    index = git_dir(checkout) / "index"
    lock, copy = index.with_name("index.lock"), index.with_name(COPY)
    _take_lock(lock, copy)
    try:
        # A killed landing may have left the copy's own lock; nothing else uses that name.
        copy.with_name(f"{COPY}.lock").unlink(missing_ok=True)
        yield with_index_copy(checkout, copy)
        copy.replace(index)
    finally:
        copy.unlink(missing_ok=True)
        lock.unlink()


def with_index_copy(checkout: Git, copy: Path) -> Git:
    """The checkout with a copy of its index, in which a file that was only touched is unchanged."""
    shutil.copyfile(git_dir(checkout) / "index", copy)
    copied = checkout.at(checkout.directory, *NO_HOOKS).having(GIT_INDEX_FILE=str(copy))
    copied.run("update-index", "-q", "--refresh")
    return copied


def lock_exists(lock: str | Path) -> str:
    """Git's own words for a lock that another process has."""
    return f"Unable to create '{lock}': File exists; if no git is at work there, remove it"


def git_dir(checkout: Git) -> Path:
    """Git's directory of a worktree; read from its `.git`, because a landing needs it often."""
    link = checkout.directory / ".git"
    if link.is_dir():
        return link.resolve()
    if link.is_file():
        return (checkout.directory / link.read_text().strip().removeprefix("gitdir: ")).resolve()
    return Path(checkout.out("rev-parse", "--absolute-git-dir"))


def _take_lock(lock: Path, by: Path) -> None:
    """Create the lock together with its text: after a kill, an empty one could be any git's."""
    by.write_text(LOCK_TEXT, encoding="utf-8")
    try:
        os.link(by, lock)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with open(lock, "x", encoding="utf-8") as file:
            file.write(LOCK_TEXT)
    finally:
        by.unlink()
