"""A branch moved together with the checkout that has it, by compare-and-swap.

They move in two phases: git's reference transaction is *prepared* (the branch is locked and still where it was), the checkout's
files and index follow, the transaction is *committed*. A step that fails gives up the transaction, so that no checkout is left
with an index that disagrees with its branch. Only a kill between the last two steps leaves one, ahead of its branch and with
nothing lost; `refs/octet/merging/<branch>` says so until the branch has moved, and `take_back` mends it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from octet.git import NO_HOOKS, Git
from octet.text import plain
from octet.worktrees import Worktree

UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")
_MOST_NAMED = 5


@dataclass(frozen=True)
class Place:
    """A branch and the only checkout that has it, None where none has."""

    branch: str
    checkout: Git | None


def marker(branch: str) -> str:
    """The reference that says where a landing was about to move `branch`."""
    return f"refs/octet/merging/{branch}"


def find_place(git: Git, branch: str, known: list[Worktree]) -> Place | str:
    """Where `branch` is checked out, or why it cannot move under its checkouts.

    A side effect helps the move: `git status` refreshes the index, so that a file that was only touched is no change.
    """
    checkouts = _checkouts(git, branch, known)
    if len(checkouts) > 1:
        return f"{branch} is checked out in {len(checkouts)} places: leave it in one at most"
    for checkout in checkouts:
        where = f"{checkout.directory} has {branch} checked out"
        if not checkout.directory.is_dir():
            return f"{where} and is not on disk: `git worktree prune`, or bring it back"
        if _is_under_way(checkout):
            return f"{where}, with a merge, rebase, cherry-pick or revert under way: finish it there"
        if checkout.out("status", "--porcelain", "--untracked-files=no"):
            return f"{where}, with uncommitted changes: commit them, or check out another branch there"
        return Place(branch, checkout)
    return Place(branch, None)


def find_untracked(place: Place, old: str, new: str) -> str:
    """Why the checkout could not follow from one commit to another, or ""; its files stay as they are."""
    if place.checkout is None:
        return ""
    ran = _quiet(place.checkout).run("read-tree", "-n", "-m", "-u", old, new)
    return _cannot_follow(place.checkout, old, new, ran.complaint) if ran.status else ""


def move(git: Git, place: Place, new: str, old: str, fence: Callable[[], None]) -> str:
    """Move branch and checkout from `old` to `new`; why nothing moved, or "".

    `fence` is called when both can still stay where they are; what it raises goes through.
    """
    sign = marker(place.branch)
    git.at(git.directory, *NO_HOOKS).out("update-ref", sign, new)
    moved = False
    try:
        why = _move_both(git, place, new, old, fence)
        moved = not why
    finally:
        if not moved:
            git.at(git.directory, *NO_HOOKS).run("update-ref", "-d", sign)
    return why


def take_back(git: Git, branch: str, tip: str, started: str, known: list[Worktree]) -> None:
    """Where a landing that was to reach `started` was killed between files and branch, bring the files back to the branch."""
    for checkout in _checkouts(git, branch, known):
        ahead = started != tip and checkout.run("write-tree").out == git.out("rev-parse", f"{started}^{{tree}}")
        if ahead:
            checkout.run("update-index", "-q", "--refresh")
            if _bring(checkout, started, tip):
                return  # its owner has changed files since; `find_place` says so
    git.at(git.directory, *NO_HOOKS).out("update-ref", "-d", marker(branch))


def _move_both(git: Git, place: Place, new: str, old: str, fence: Callable[[], None]) -> str:
    """Prepare the reference, bring the checkout along, commit the reference; why not, or ""."""
    checkout = place.checkout
    # The marker goes with the same transaction, one git command less. Run in the checkout where there is one, so that its HEAD's
    # reflog has the step too.
    updates = f"start\nupdate refs/heads/{place.branch} {new} {old}\ndelete {marker(place.branch)} {new}\nprepare\n"
    with (checkout or git).converse("update-ref", "-m", "octet: merge", "--stdin") as transaction:
        if not _say(transaction, updates, "prepare: ok"):
            return _complaint(transaction)
        fence()
        if checkout and (why := _bring(checkout, old, new)):
            return why
        if _say(transaction, "commit\n", "commit: ok"):
            return ""
        why = _complaint(transaction)
    if checkout:
        _bring(checkout, new, old)
    return why


def _bring(checkout: Git, old: str, new: str) -> str:
    """Take a checkout's index and files from one commit to another, all or nothing; why not, or ""."""
    ran = _quiet(checkout).run("read-tree", "-m", "-u", old, new)
    return _cannot_follow(checkout, old, new, ran.complaint) if ran.status else ""


def _cannot_follow(checkout: Git, old: str, new: str, complaint: str) -> str:
    added = checkout.out("diff-tree", "-r", "-z", "--name-only", "--no-renames", "--diff-filter=A", old, new).split("\0")
    there = [plain(path) for path in added if path and _in_the_way(checkout, path)]
    if not there:
        return f"{checkout.directory} cannot follow: {complaint}"
    more = f" and {len(there) - _MOST_NAMED} more" if len(there) > _MOST_NAMED else ""
    return f"{checkout.directory} has untracked files in the way: {', '.join(there[:_MOST_NAMED])}{more}; move them"


def _in_the_way(checkout: Git, path: str) -> bool:
    place = checkout.directory / path
    return place.exists() or place.is_symlink()


def _is_under_way(checkout: Git) -> bool:
    paths = checkout.out("rev-parse", *[word for name in UNDER_WAY for word in ("--git-path", name)])
    return any((checkout.directory / path).exists() for path in paths.splitlines())


def _checkouts(git: Git, branch: str, known: list[Worktree]) -> list[Git]:
    return [git.at(tree.path) for tree in known if tree.branch == branch and not tree.bare]


def _quiet(checkout: Git) -> Git:
    return checkout.at(checkout.directory, *NO_HOOKS)


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
    return next((line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")), "git would not move the branch")
