"""What a new worktree gets besides the branch's files: gitignored files named by
`.worktreeinclude`, and ports of its own.

Nothing outside of the repository is read or written, because the branch or `.worktreeinclude` may
come from a stranger.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from octet.base.errors import Refused
from octet.base.files import read_file, replace_file
from octet.git import exclude
from octet.git.program import Git
from octet.project.repository import is_within, real_path

INCLUDE = ".worktreeinclude"
PORTS_FILE = ".env.octet"


def copy_included(root: Path, tree: Path) -> Sequence[str]:
    """Copy the gitignored files of the main checkout that its `.worktreeinclude` (patterns as in
    .gitignore) names. An existing file stays as it is.

    Returns:
        The files that were left out, each with the reason.
    """
    if not (root / INCLUDE).is_file() or (root / INCLUDE).is_symlink():
        return []
    git = Git(root)
    listed = git.out("ls-files", "--others", "--ignored", f"--exclude-from={root / INCLUDE}", "-z")
    # A path that ends in a slash is another repository.
    named = {path for path in listed.split("\0") if path and not path.endswith("/")}
    ignored = git.out("ls-files", "--others", "--ignored", "--exclude-standard", "-z").split("\0")
    left_out = []
    for path in sorted(named.intersection(ignored)):
        if why := _copy(root, tree, path):
            left_out.append(f"{path}: {why}")
    return left_out


def write_ports(tree: Path, ports: Mapping[str, int]) -> None:
    """Write `.env.octet` with a line `NAME=port` for each; git ignores the file.

    Raises:
        Refused: the branch has a file of that name.
        UsageError: the file is not writable.
    """
    git = Git(tree)
    if git.out("ls-files", "-z", "--", PORTS_FILE):
        raise Refused(
            f"{PORTS_FILE} is committed on this branch, and Octet writes each worktree's "
            "ports there: `git rm` it"
        )
    _exclude_from_git(git.common_dir())
    with suppress(FileNotFoundError):
        if (tree / PORTS_FILE).is_symlink():
            (tree / PORTS_FILE).unlink()
    lines = [
        "# This worktree's own ports; written by `octet worktree add`.\n",
        *(f"{name}={port}\n" for name, port in ports.items()),
    ]
    replace_file(tree / PORTS_FILE, "".join(lines).encode(), 0o644)


def _exclude_from_git(common_dir: Path) -> None:
    path = exclude.path_in(common_dir)
    with FileLock(common_dir / "octet-exclude.lock", timeout=30):
        before = (read_file(path) or b"").decode("utf-8", "surrogateescape")
        after = exclude.add_ours(before)
        if after != before:
            replace_file(path, after.encode("utf-8", "surrogateescape"), 0o644)


def _copy(root: Path, tree: Path, path: str) -> str:
    """Copy one file or link; returns why it was left out, or ""."""
    source, target = root / path, tree / path
    if not is_within(real_path(source), root):
        return "it leads out of the repository"
    if not is_within(real_path(target.parent), tree):
        return "a link in the branch leads out of the worktree"
    try:
        if os.path.lexists(target):
            return ""
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = source.lstat().st_mode
        if stat.S_ISLNK(mode):
            target.symlink_to(source.readlink())
        elif stat.S_ISREG(mode):
            _copy_file(source, target, stat.S_IMODE(mode))
        else:
            return "it is no file"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _copy_file(source: Path, target: Path, mode: int) -> None:
    # O_NOFOLLOW and O_EXCL: neither path may have become a link since it was checked.
    reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(reading, "rb") as reader, os.fdopen(_create(target, mode), "wb") as writer:
        shutil.copyfileobj(reader, writer)


def _create(path: Path, mode: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode & 0o777)
