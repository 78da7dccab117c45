"""A branch moved together with the checkout that has it, by compare-and-swap.

They move in two phases: git's reference transaction is *prepared* (the branch is locked and still
where it was), the checkout's files and index follow, the transaction is *committed*. A step that
fails gives up the transaction, so that no checkout is left with an index that disagrees with its
branch. Only a kill in the midst of it leaves one; `octet.merge.recovery` keeps a record of the
move, and `mend` brings the checkout to where the branch is.

The index is made beside the real one, which it then replaces at once: so the lock on that is
Octet's own and tells whose it is. No git that could be killed ever holds it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from octet.base.text import plain
from octet.git.program import NO_HOOKS, Git
from octet.git.worktrees import ListedWorktree, list_worktrees
from octet.merge.recovery import (
    INDEX_LOCK,
    Move,
    clear_locks,
    forget,
    read_record,
    recorded,
    restore_files,
)

UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD")
OWN_INDEX = "octet-index"
_MOST_NAMED = 5
# What git says when it would not begin.
_REFUSED = ("would be ", "not uptodate", "not up to date", "overlaps with", "would lose")


@dataclass(frozen=True)
class Place:
    """A branch and the only checkout that has it, None where none has."""

    branch: str
    checkout: Git | None


def find_place(git: Git, branch: str, known: list[ListedWorktree]) -> Place | str:
    """Where `branch` is checked out, or why it cannot move under its checkouts."""
    checkouts = _checkouts(git, branch, known)
    if len(checkouts) > 1:
        return f"{branch} is checked out in {len(checkouts)} places: leave it in one at most"
    for checkout in checkouts:
        where = f"{checkout.directory} has {branch} checked out"
        if not checkout.directory.is_dir():
            return f"{where} and is not on disk: `git worktree prune`, or bring it back"
        if any((_git_dir(checkout) / name).exists() for name in UNDER_WAY):
            return (
                f"{where}, with a merge, rebase, cherry-pick or revert under way: finish it there"
            )
        if checkout.out("status", "--porcelain", "--untracked-files=no"):
            return (
                f"{where}, with uncommitted changes: commit them, or check out another branch there"
            )
        return Place(branch, checkout)
    return Place(branch, None)


def find_untracked(place: Place, old: str, new: str) -> str:
    """Why the checkout could not follow from one commit to another, or ""; its files stay as they
    are.
    """
    if place.checkout is None:
        return ""
    with tempfile.TemporaryDirectory(prefix="octet-look-") as scratch:
        ran = _with_index(place.checkout, Path(scratch, "index")).run(
            "read-tree", "-n", "-m", "-u", old, new
        )
    return _cannot_follow(place.checkout, old, new, ran.complaint) if ran.status else ""


def move(
    git: Git, common: Path, place: Place, new: str, old: str, fence: Callable[[], None]
) -> str:
    """Move branch and checkout from `old` to `new`; why nothing moved, or "".

    `fence` is called when both can still stay where they are; what it raises goes through.
    """
    try:
        with recorded(common, Move(place.branch, old, new)) as record:
            return _move_both(git, place, new, old, fence, record)
    except BaseException:
        mend(git, common, list_worktrees(git))
        raise


def mend(git: Git, common: Path, known: list[ListedWorktree]) -> str:
    """Bring the checkout of a move that was killed to where its branch is; why that cannot be done
    now, or "".
    """
    record = read_record(common)
    if not isinstance(record, Move):
        return record or ""
    tip = git.commit(f"refs/heads/{record.branch}")
    checkouts = [
        checkout
        for checkout in _checkouts(git, record.branch, known)
        if checkout.directory.is_dir()
    ]
    if why := clear_locks(common, [_git_dir(checkout) for checkout in checkouts], record):
        return why
    if tip in (record.old, record.new):
        other = record.old if tip == record.new else record.new
        for checkout in checkouts:
            try:
                with _own_index(checkout) as there:
                    _bring_back(there, other, tip)
            except FileExistsError as error:
                return _somebody_at_work(error)
    forget(common)
    return ""


def _bring_back(there: Git, other: str, tip: str) -> None:
    if there.out("write-tree") == there.out("rev-parse", f"{other}^{{tree}}"):
        there.run(
            "read-tree", "-m", "-u", other, tip
        )  # refused where its owner changed files since; `find_place` says so
    else:
        restore_files(there, other, tip)


def _move_both(
    git: Git, place: Place, new: str, old: str, fence: Callable[[], None], record: int
) -> str:
    """Prepare the reference, bring the checkout along, commit the reference; why not, or ""."""
    updates = f"start\nupdate refs/heads/{place.branch} {new} {old}\nprepare\n"
    # Run in the checkout where there is one, so that its HEAD's reflog has the step too.
    with (place.checkout or git).converse(
        "update-ref", "-m", "octet: merge", "--stdin", keep=(record,)
    ) as transaction:
        if not _say(transaction, updates, "prepare: ok"):
            return _complaint(transaction)
        fence()
        if why := _bring(place, old, new, record):
            return why
        if _say(transaction, "commit\n", "commit: ok"):
            return ""
        why = _complaint(transaction)
    _bring(place, new, old, record)
    return why


def _bring(place: Place, old: str, new: str, record: int) -> str:
    """Take a checkout's index and files from one commit to another, all or nothing; why not, or ""."""
    if place.checkout is None:
        return ""
    try:
        with _own_index(place.checkout) as there:
            ran = there.run("read-tree", "-m", "-u", old, new, keep=(record,))
            return _undo(there, old, new, ran.complaint) if ran.status else ""
    except FileExistsError as error:
        return _somebody_at_work(error)


def _undo(there: Git, old: str, new: str, complaint: str) -> str:
    if any(sign in complaint for sign in _REFUSED):
        return _cannot_follow(there, old, new, complaint)
    restore_files(there, new, old)  # git stopped half-way, for want of space or rights
    return f"{there.directory} cannot follow: {complaint}"


@contextmanager
def _own_index(checkout: Git) -> Iterator[Git]:
    """The checkout with a copy of its index, which replaces the real one in the end, locked until
    then.

    Raises:
        FileExistsError: another git has the lock, or has left it.
    """
    index = _git_dir(checkout) / "index"
    lock, ours = index.with_name("index.lock"), index.with_name(OWN_INDEX)
    _take_lock(lock, ours)
    try:
        ours.with_name(f"{OWN_INDEX}.lock").unlink(
            missing_ok=True
        )  # of a killed landing; nobody else uses that name
        yield _with_index(checkout, ours)
        ours.replace(index)
    finally:
        ours.unlink(missing_ok=True)
        lock.unlink()


def _with_index(checkout: Git, copy: Path) -> Git:
    """The checkout with a copy of its index, in which a file that was only touched is no change."""
    shutil.copyfile(_git_dir(checkout) / "index", copy)
    there = checkout.at(checkout.directory, *NO_HOOKS).having(GIT_INDEX_FILE=str(copy))
    there.run("update-index", "-q", "--refresh")
    return there


def _take_lock(lock: Path, by: Path) -> None:
    """Make the lock with what it says in it, at once: an empty one would be nobody's after a kill."""
    by.write_text(INDEX_LOCK, encoding="utf-8")
    try:
        os.link(by, lock)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with open(lock, "x", encoding="utf-8") as file:
            file.write(INDEX_LOCK)
    finally:
        by.unlink()


def _somebody_at_work(error: FileExistsError) -> str:
    return (
        f"Unable to create '{error.filename2 or error.filename}': File exists; if no git is at "
        "work there, remove it"
    )


def _cannot_follow(checkout: Git, old: str, new: str, complaint: str) -> str:
    added = checkout.out(
        "diff-tree", "-r", "-z", "--name-only", "--no-renames", "--diff-filter=A", old, new
    ).split("\0")
    there = [plain(path) for path in added if path and os.path.lexists(checkout.directory / path)]
    if not there:
        return f"{checkout.directory} cannot follow: {complaint}"
    more = f" and {len(there) - _MOST_NAMED} more" if len(there) > _MOST_NAMED else ""
    return (
        f"{checkout.directory} has untracked files in the way: "
        f"{', '.join(there[:_MOST_NAMED])}{more}; move them"
    )


def _git_dir(checkout: Git) -> Path:
    """Git's directory of a worktree; read rather than asked for, because a landing asks often."""
    link = checkout.directory / ".git"
    if link.is_dir():
        return link.resolve()
    if link.is_file():
        return (checkout.directory / link.read_text().strip().removeprefix("gitdir: ")).resolve()
    return Path(checkout.out("rev-parse", "--absolute-git-dir"))


def _checkouts(git: Git, branch: str, known: list[ListedWorktree]) -> list[Git]:
    return [git.at(tree.path) for tree in known if tree.branch == branch and not tree.bare]


def _say(process: subprocess.Popen[bytes], words: str, answer: str) -> bool:
    """Send lines; whether `answer` came before the end of the output."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(words.encode())
        process.stdin.flush()
    except BrokenPipeError:
        return False
    return any(line.strip() == answer.encode() for line in iter(process.stdout.readline, b""))


def _complaint(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    lines = process.stderr.read().decode(errors="replace").splitlines()
    # Git says only that a hook refused; the line before that says why.
    said = [line for line in lines if line.startswith("Octet: ")] or [
        line for line in lines if line.startswith("fatal: ")
    ]
    return said[0].removeprefix("fatal: ") if said else "git would not move the branch"
