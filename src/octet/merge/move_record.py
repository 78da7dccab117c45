"""The record of a branch that is being moved, so that a killed move can be recovered.

The file `octet-merge.moving` in git's directory says from which commit to which the branch goes. It
is locked (flock) by the landing and by the git commands that it starts for the move: a
process that gets the lock knows that none of them is running.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

RECORD = "octet-merge.moving"
STILL_RUNNING = "git commands of a landing that was killed are still at work: wait for them to end"


@dataclass(frozen=True)
class BranchMove:
    """A branch on its way from one commit to another."""

    branch: str
    old: str
    new: str


@contextmanager
def recorded(common: Path, move: BranchMove) -> Iterator[int]:
    """Keep the record while the branch moves; yields its descriptor, for git commands to inherit.
    An exception leaves the record in place.
    """
    # Locked under another name first: a record without its lock would look like that of a killed
    # landing.
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


def read_record(common: Path) -> BranchMove | str | None:
    """The move that a killed landing was making; None if there is none, or its record is
    unreadable; STILL_RUNNING while one of its git commands runs.
    """
    try:
        with open(common / RECORD, encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return STILL_RUNNING
            return _parse(file.read())
    except FileNotFoundError:
        return None


def delete_record(common: Path) -> None:
    """The move has been recovered."""
    (common / RECORD).unlink(missing_ok=True)


def _parse(text: str) -> BranchMove | None:
    try:
        return BranchMove(**json.loads(text))
    except (ValueError, TypeError):
        return None  # not Octet's, or of another version: it tells nothing
