"""Crash recovery of a move of branch and checkout: what a killed landing left behind, alone or with
its git commands, is completed or undone, so that the checkout is where its branch is.

No process of that landing is running, so what it left can be recognized: a lock file with the new
commit in it, or an empty one, as git creates it; an index lock with Octet's text; files that are as
the branch was to have them. A file that is neither as before nor as after is a person's and stays.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from octet.git.program import Git
from octet.git.worktrees import ListedWorktree
from octet.merge.checkout import LOCK_TEXT, checkouts_of, git_dir, lock_exists, replaced_index
from octet.merge.move_record import BranchMove, delete_record, read_record

_EMPTY_LOCK_S = 1.0


def recover_move(git: Git, common: Path, known: list[ListedWorktree]) -> str:
    """Bring a killed move's checkout to its branch; returns why that is impossible now, or ""."""
    move = read_record(common)
    if not isinstance(move, BranchMove):
        return move or ""
    tip = git.commit(f"refs/heads/{move.branch}")
    checkouts = [
        checkout
        for checkout in checkouts_of(git, move.branch, known)
        if checkout.directory.is_dir()
    ]
    if why := _clear_locks(common, [git_dir(checkout) for checkout in checkouts], move):
        return why
    if tip in (move.old, move.new):
        other = move.old if tip == move.new else move.new
        for checkout in checkouts:
            try:
                with replaced_index(checkout) as copied:
                    _restore(copied, other, tip)
            except FileExistsError as error:
                return lock_exists(error.filename2 or error.filename)
    delete_record(common)
    return ""


def _restore(copied: Git, other: str, tip: str) -> None:
    if copied.out("write-tree") == copied.out("rev-parse", f"{other}^{{tree}}"):
        # Git refuses where a person has changed files since; `find_checkout` then says so.
        copied.run("read-tree", "-m", "-u", other, tip)
    else:
        restore_files(copied, other, tip)


def restore_files(copied: Git, other: str, tip: str) -> None:
    """The index is at `tip`, and files are at `other` or on their way there: bring these back.

    Args:
        copied: git in the checkout, without hooks, with a copy of the index.
    """
    paths = _paths(copied.out("diff-tree", "-r", "-z", "--name-only", "--no-renames", other, tip))
    in_tip = _paths(copied.out("ls-tree", "-r", "-z", "--full-tree", "--name-only", tip)) & paths
    ours = paths - _find_changed_by_people(copied, other, tip, paths)
    for path in sorted(ours - in_tip):
        _remove(copied.directory, path)
    if back := sorted(ours & in_tip):
        names = "".join(f"{path}\0" for path in back).encode("utf-8", "surrogateescape")
        copied.fed(names, "checkout-index", "-q", "-f", "-z", "--stdin")
    copied.run("update-index", "-q", "--refresh")


def _clear_locks(common: Path, directories: Sequence[Path], move: BranchMove) -> str:
    """Remove the move's lock files; returns why one of them may be another git's, or "".

    Args:
        directories: git's directories of the worktrees that have the branch.
    """
    for directory in directories:
        index_lock = directory / "index.lock"
        if _read(index_lock) == LOCK_TEXT:
            index_lock.unlink()
    locks = [
        common / "refs" / "heads" / f"{move.branch}.lock",
        *(directory / "HEAD.lock" for directory in directories),
    ]
    for lock in locks:
        if (content := _read(lock)) is None:
            continue
        is_fresh = time.time() - lock.stat().st_mtime < _EMPTY_LOCK_S
        if content.strip() != move.new and (content or is_fresh):
            return lock_exists(lock)
        lock.unlink()
    return ""


def _find_changed_by_people(copied: Git, other: str, tip: str, paths: set[str]) -> set[str]:
    """Those of `paths` whose file is neither what `other` has there, nor the beginning of what
    `other` or `tip` has.
    """
    with tempfile.TemporaryDirectory(prefix="octet-mend-") as directory:
        at_other = copied.having(GIT_INDEX_FILE=str(Path(directory, "index")))
        at_other.out("read-tree", other)
        at_other.run("update-index", "-q", "--refresh")
        differ = _paths(at_other.out("diff-files", "-z", "--name-only"))
        in_other = _paths(at_other.out("ls-files", "-z"))
    changed = {
        path
        for path in paths & differ
        if not any(_is_beginning(copied, commit, path) for commit in (other, tip))
    }
    root = copied.directory
    return changed | {path for path in paths - in_other if os.path.lexists(root / path)}


def _is_beginning(copied: Git, commit: str, path: str) -> bool:
    """Whether git was killed while it wrote the file."""
    file = copied.directory / path
    if file.is_symlink() or not file.is_file():
        return not os.path.lexists(file)
    text = file.read_bytes().decode("utf-8", "surrogateescape")
    blob = copied.run("cat-file", "blob", f"{commit}:{path}")
    return blob.status == 0 and f"{blob.out}\n".startswith(text)


def _remove(root: Path, path: str) -> None:
    try:
        (root / path).unlink()
        for parent in list(Path(path).parents)[:-1]:
            (root / parent).rmdir()
    except OSError:
        return  # gone already, or a directory that has other files in it


def _paths(listed: str) -> set[str]:
    return {path for path in listed.split("\0") if path}


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
