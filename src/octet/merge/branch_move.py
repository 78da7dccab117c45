"""A branch moved together with its checkout, by compare-and-swap.

They move in two phases: git's reference transaction is *prepared* (the branch is locked and still
at its old commit), the checkout's files and index follow, the transaction is *committed*. A step
that fails aborts the transaction, so that no checkout is left with an index that disagrees with its
branch. Only a kill in between leaves one: `move_record` keeps a record of the move, and `recovery`
brings the checkout to where the branch is.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from octet.base.text import plain
from octet.git.program import Git
from octet.git.worktrees import ListedWorktree, list_worktrees
from octet.merge.checkout import (
    checkouts_of,
    git_dir,
    lock_exists,
    replaced_index,
    with_index_copy,
)
from octet.merge.model import CannotMerge
from octet.merge.move_record import BranchMove, recorded
from octet.merge.recovery import recover_move, restore_files

UNFINISHED = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD")
_MAX_NAMED = 5
# What git says if it did not begin.
_REFUSED = ("would be ", "not uptodate", "not up to date", "overlaps with", "would lose")


@dataclass(frozen=True)
class CheckedOutBranch:
    """A branch and its only checkout, None if it has none."""

    branch: str
    checkout: Git | None


def find_checkout(git: Git, branch: str, known: list[ListedWorktree]) -> CheckedOutBranch:
    """Where `branch` is checked out.

    Raises:
        CannotMerge: the branch cannot move together with its checkouts as they are.
    """
    checkouts = checkouts_of(git, branch, known)
    if len(checkouts) > 1:
        raise CannotMerge(
            f"{branch} is checked out in {len(checkouts)} places: leave it in one at most"
        )
    if not checkouts:
        return CheckedOutBranch(branch, None)
    [checkout] = checkouts
    if why := _why_not_ready(checkout):
        raise CannotMerge(f"{checkout.directory} has {branch} checked out{why}")
    return CheckedOutBranch(branch, checkout)


def _why_not_ready(checkout: Git) -> str:
    if not checkout.directory.is_dir():
        return " and is not on disk: `git worktree prune`, or bring it back"
    if any((git_dir(checkout) / name).exists() for name in UNFINISHED):
        return ", with a merge, rebase, cherry-pick or revert under way: finish it there"
    if checkout.out("status", "--porcelain", "--untracked-files=no"):
        return ", with uncommitted changes: commit them, or check out another branch there"
    return ""


def check_can_follow(place: CheckedOutBranch, old: str, new: str) -> None:
    """Try whether the checkout could follow from one commit to another; its files stay as they are.

    Raises:
        CannotMerge: it could not.
    """
    if place.checkout is None:
        return
    with tempfile.TemporaryDirectory(prefix="octet-look-") as directory:
        copied = with_index_copy(place.checkout, Path(directory, "index"))
        ran = copied.run("read-tree", "-n", "-m", "-u", old, new)
    if ran.status:
        raise CannotMerge(_cannot_follow(place.checkout, old, new, ran.complaint))


def move_branch(
    git: Git,
    common: Path,
    place: CheckedOutBranch,
    new: str,
    old: str,
    fence: Callable[[], None],
) -> str:
    """Move branch and checkout from `old` to `new`; returns why nothing moved, or "".

    Args:
        fence: called while neither has moved; its exceptions go through, and nothing moves.
    """
    try:
        with recorded(common, BranchMove(place.branch, old, new)) as record:
            return _move_both(git, place, new, old, fence, record)
    except BaseException:
        recover_move(git, common, list_worktrees(git))
        raise


def _move_both(
    git: Git,
    place: CheckedOutBranch,
    new: str,
    old: str,
    fence: Callable[[], None],
    record: int,
) -> str:
    """Prepare the reference, bring the checkout along, commit the reference."""
    updates = f"start\nupdate refs/heads/{place.branch} {new} {old}\nprepare\n"
    # Run in the checkout if there is one, so that its HEAD's reflog has the step too.
    with (place.checkout or git).converse(
        "update-ref", "-m", "octet: merge", "--stdin", keep=(record,)
    ) as transaction:
        if not _send(transaction, updates, "prepare: ok"):
            return _complaint(transaction)
        fence()
        if why := _move_checkout(place, old, new, record):
            return why
        if _send(transaction, "commit\n", "commit: ok"):
            return ""
        why = _complaint(transaction)
    _move_checkout(place, new, old, record)
    return why


def _move_checkout(place: CheckedOutBranch, old: str, new: str, record: int) -> str:
    """Take the checkout's index and files from one commit to another, all or nothing; returns why
    they stay, or "".
    """
    if place.checkout is None:
        return ""
    try:
        with replaced_index(place.checkout) as copied:
            ran = copied.run("read-tree", "-m", "-u", old, new, keep=(record,))
            return _undo(copied, old, new, ran.complaint) if ran.status else ""
    except FileExistsError as error:
        return lock_exists(error.filename2 or error.filename)


def _undo(copied: Git, old: str, new: str, complaint: str) -> str:
    if any(sign in complaint for sign in _REFUSED):
        return _cannot_follow(copied, old, new, complaint)
    restore_files(copied, new, old)  # git stopped half-way, for lack of space or rights
    return f"{copied.directory} cannot follow: {complaint}"


def _cannot_follow(checkout: Git, old: str, new: str, complaint: str) -> str:
    added = checkout.out(
        "diff-tree", "-r", "-z", "--name-only", "--no-renames", "--diff-filter=A", old, new
    ).split("\0")
    there = [plain(path) for path in added if path and os.path.lexists(checkout.directory / path)]
    if not there:
        return f"{checkout.directory} cannot follow: {complaint}"
    more = f" and {len(there) - _MAX_NAMED} more" if len(there) > _MAX_NAMED else ""
    return (
        f"{checkout.directory} has untracked files in the way: "
        f"{', '.join(there[:_MAX_NAMED])}{more}; move them"
    )


def _send(process: subprocess.Popen[bytes], lines: str, answer: str) -> bool:
    """Send lines; whether `answer` came before the end of the output."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(lines.encode())
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
