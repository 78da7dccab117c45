"""This machine's approval of a repository, like `direnv allow`: made by `octet init`, looked up by
`hooks/launch`.

    approve(project)                        # writes trust/<root>/octet.json in the state directory
    trust = check(project)
    trust.approved                          # False: Octet does nothing in this repository
    trust.store_refusal                     # why the store must not be connected to, or ""
    trust.command_refusal("test.command")   # why that command must not run, or ""

A cloned or pulled repository can change its settings, but not the hashes of the approved ones.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from octet.base import dirs
from octet.base.errors import UsageError
from octet.base.files import write_file
from octet.project import config
from octet.project.repository import Project

RECORD = "octet.json"
VERSION = 1
_LABELS = {
    "redis.url": "its server URL",
    "test.command": "its test command",
    "worktree.setup": "its worktree set-up command",
}


@dataclass(frozen=True)
class Trust:
    """A person's approval. `changed` names the dangerous settings that were changed since."""

    approved: bool
    changed: tuple[str, ...] = ()

    @property
    def store_refusal(self) -> str:
        """The reason not to connect to the repository's server; "" when there is none."""
        return self.command_refusal("redis.url")

    def command_refusal(self, setting: str) -> str:
        """The reason not to act on this dangerous setting; "" when there is none."""
        if not self.approved:
            return "this machine has not approved the repository: run `octet init`"
        if setting in self.changed:
            return (
                f"octet.toml changed {_LABELS[setting]} since you approved it: review it, then "
                "run `octet init`"
            )
        return ""


def record_path(root: Path) -> Path:
    """The approval's file, of the repository at the absolute path `root`."""
    return _top() / root.relative_to(root.anchor) / RECORD


def approve(project: Project) -> Path:
    """Record that the person approves the project's present settings; the record's path.

    Raises:
        UsageError: the record cannot be written.
    """
    record = {
        "version": VERSION,
        "root": str(project.root),
        "time": int(time.time()),
        "settings": _fingerprints(project),
    }
    path = record_path(project.root)
    dirs.make_private(_top().parent)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(path, f"{json.dumps(record, indent=1)}\n".encode("ascii"), durable=True)
    except OSError as error:
        raise UsageError(f"cannot record the approval in {path}: {error.strerror}") from error
    return path


def revoke(root: Path) -> bool:
    """Withdraw the approval, and remove directories left empty; whether there was one.

    Raises:
        UsageError: the record cannot be removed.
    """
    path = record_path(root)
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UsageError(f"cannot remove {path}: {error.strerror}") from error
    _remove_empty(path.parent)
    return True


def check(project: Project) -> Trust:
    """The project's approval here. A record that is unreadable approves no dangerous setting."""
    path = record_path(project.root)
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Trust(approved=False)
    except (OSError, ValueError, RecursionError):
        recorded = None
    current = _fingerprints(project)
    known = (
        recorded.get("settings")
        if isinstance(recorded, dict) and recorded.get("version") == VERSION
        else None
    )
    before: Mapping[str, object] = known if isinstance(known, dict) else {}
    return Trust(
        approved=True,
        changed=tuple(name for name, digest in current.items() if before.get(name) != digest),
    )


def _fingerprints(project: Project) -> dict[str, str]:
    return {
        name: hashlib.sha256(value.encode()).hexdigest()
        for name, value in config.dangerous(project.config).items()
    }


def _remove_empty(directory: Path) -> None:
    top = _top()
    while directory != top and top in directory.parents:
        try:
            directory.rmdir()
        except OSError:
            return  # it holds another repository's record, or another process was faster
        directory = directory.parent


def _top() -> Path:
    return dirs.state_dir() / "trust"
