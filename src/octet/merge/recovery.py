"""What a landing leaves behind when it is killed while branch and checkout move, alone or with its
git commands; and how that is mended.

A record, `octet-merge.moving` in git's directory, says from where to where the branch is going. It
is locked (flock) by the landing and by the git commands that it starts for the move, so whoever
gets that lock knows that none of them lives. What they left is then known for theirs: a lock file
that holds the new commit or, git's way at first, nothing; an index lock that Octet wrote; files
that are as the branch was to have them. A file that is neither as before nor as after is a person's
and stays.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from octet.git.program import Git

STILL_AT_WORK = "git commands of a landing that was killed are still at work: wait for them to end"
RECORD = "octet-merge.moving"
INDEX_LOCK = "octet: a landing is bringing this checkout along\n"
_EMPTY_LOCK_S = 1.0


@dataclass(frozen=True)
class Move:
    """A branch on its way from one commit to another."""

    branch: str
    old: str
    new: str


@contextmanager
def recorded(common: Path, move: Move) -> Iterator[int]:
    """Keep the record while the branch moves; yields its descriptor, for git commands to inherit.
    It stays if this raises.
    """
    # Opened and locked under another name: a record without its lock would be taken for a dead
    # one's.
    fresh = common / f"{RECORD}.new"
    descriptor = os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, json.dumps(asdict(move)).encode())
        fresh.replace(common / RECORD)
        yield descriptor
        (common / RECORD).unlink()
    finally:
        os.close(descriptor)


def read_record(common: Path) -> Move | str | None:
    """The move that a killed landing was making, None for none; a reason to wait while one of its
    git commands lives.
    """
    try:
        with open(common / RECORD, encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return STILL_AT_WORK
            return _parse(file.read())
    except FileNotFoundError:
        return None


def forget(common: Path) -> None:
    """Mended."""
    (common / RECORD).unlink(missing_ok=True)


def clear_locks(common: Path, checkouts: Sequence[Path], move: Move) -> str:
    """Remove the lock files of a move none of whose processes lives; why that cannot be said of
    one, or "".

    Args:
        checkouts: git's directories of the worktrees that have the branch.
    """
    for directory in checkouts:
        index_lock = directory / "index.lock"
        if _content(index_lock) == INDEX_LOCK:
            index_lock.unlink()
    locks = [
        common / "refs" / "heads" / f"{move.branch}.lock",
        *(directory / "HEAD.lock" for directory in checkouts),
    ]
    for lock in locks:
        if (content := _content(lock)) is None:
            continue
        if content.strip() != move.new and (
            content or time.time() - lock.stat().st_mtime < _EMPTY_LOCK_S
        ):
            return f"Unable to create '{lock}': File exists; if no git is at work there, remove it"
        lock.unlink()
    return ""


def restore_files(quiet: Git, other: str, tip: str) -> None:
    """Where the index is at `tip`, and files are at `other` or on their way there, bring these
    files back.

    Args:
        quiet: git in the checkout, without hooks, and with an index that nobody else writes.
    """
    paths = _paths(quiet.out("diff-tree", "-r", "-z", "--name-only", "--no-renames", other, tip))
    in_tip = _paths(quiet.out("ls-tree", "-r", "-z", "--full-tree", "--name-only", tip)) & paths
    gone_astray = paths - _strange(quiet, other, tip, paths)
    for path in sorted(gone_astray - in_tip):
        _remove(quiet.directory, path)
    if back := sorted(gone_astray & in_tip):
        quiet.fed(
            "".join(f"{path}\0" for path in back).encode("utf-8", "surrogateescape"),
            "checkout-index",
            "-q",
            "-f",
            "-z",
            "--stdin",
        )
    quiet.run("update-index", "-q", "--refresh")


def _strange(quiet: Git, other: str, tip: str, paths: set[str]) -> set[str]:
    """Those of `paths` whose file is not what `other` has there, nor the beginning of what one of
    them has.
    """
    with tempfile.TemporaryDirectory(prefix="octet-mend-") as place:
        there = quiet.having(GIT_INDEX_FILE=str(Path(place, "index")))
        there.out("read-tree", other)
        there.run("update-index", "-q", "--refresh")
        differ = _paths(there.out("diff-files", "-z", "--name-only"))
        held = _paths(there.out("ls-files", "-z"))
    strange = {
        path
        for path in paths & differ
        if not any(_is_beginning(quiet, end, path) for end in (other, tip))
    }
    return strange | {path for path in paths - held if os.path.lexists(quiet.directory / path)}


def _is_beginning(quiet: Git, commit: str, path: str) -> bool:
    """Whether a file was being written when git was killed."""
    file = quiet.directory / path
    if file.is_symlink() or not file.is_file():
        return not os.path.lexists(file)
    text = file.read_bytes().decode("utf-8", "surrogateescape")
    blob = quiet.run("cat-file", "blob", f"{commit}:{path}")
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


def _content(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _parse(text: str) -> Move | None:
    try:
        return Move(**json.loads(text))
    except (ValueError, TypeError):
        return None  # not Octet's, or of another version: nothing can be told from it
