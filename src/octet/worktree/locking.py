"""File locks between this machine's processes while a worktree is made, set up or removed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from octet.base import dirs
from octet.base.errors import Refused
from octet.project.repository import Project

LOCK_TIMEOUT_S = 60.0
# Names share this many lock files, so that the directory does not grow with the tasks.
_STRIPES = 64


@contextmanager
def worktree_lock(project: Project, name: str) -> Iterator[None]:
    """Keep this machine's other processes from making or removing the worktree of that name.

    Raises:
        Refused: another process keeps the lock too long.
    """
    key = f"{project.common_dir}\0{name}".encode("utf-8", "surrogateescape")
    stripe = int(hashlib.sha256(key).hexdigest(), 16) % _STRIPES
    directory = dirs.make_private(dirs.state_dir() / "worktrees")
    with file_lock(directory / f"{stripe}.lock", LOCK_TIMEOUT_S):
        yield


@contextmanager
def file_lock(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock file.

    Raises:
        Refused: another process keeps it longer than `timeout_s`.
    """
    try:
        with FileLock(path, timeout=timeout_s):
            yield
    except Timeout as error:
        raise Refused(
            f"another process has held {path} for {timeout_s:.0f} s: end it, then try again"
        ) from error
