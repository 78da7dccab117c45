"""What `octet init` wrote into one repository, kept beside its trust record so that it can be taken
back exactly.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from octet.base import dirs
from octet.base.errors import UsageError
from octet.base.files import read_file, remove_empty, remove_file, remove_unfinished, replace_file
from octet.project import trust

RECORD = "init.json"
VERSION = 1


@dataclass
class NotedEdit:
    """An edit as the manifest keeps it: the file's bytes before (None: no file), and the SHA-256 of
    each content it may have since.
    """

    kind: str
    before: bytes | None
    after: list[str]


@dataclass
class Manifest:
    """`files`: path below the repository, or absolute → SHA-256 of each content that Octet wrote
    there. `edits`: absolute path → what was done. `moved`: absolute path of a file of the user's →
    where it lies meanwhile.
    """

    files: dict[str, list[str]] = field(default_factory=dict)
    edits: dict[str, NotedEdit] = field(default_factory=dict)
    directories: list[str] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)


def load(root: Path) -> Manifest:
    """What was written in the repository at `root`; an empty manifest when nothing was.

    Raises:
        UsageError: it is damaged, or of another version.
    """
    path = _path(root)
    raw = read_file(path)
    if raw is None:
        return Manifest()
    try:
        data = json.loads(raw)
        if data["version"] != VERSION:
            raise UsageError(f"{path} was written by another version of Octet: use that one")
        edits = {name: _noted(entry) for name, entry in data["edits"].items()}
        return Manifest(data["files"], edits, data["directories"], data.get("moved", {}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is damaged: remove it, and what `octet init` wrote by hand"
        ) from error


def save(root: Path, manifest: Manifest) -> None:
    """Keep it.

    Raises:
        UsageError: the state directory cannot be written.
    """
    edits = {path: _written(noted) for path, noted in manifest.edits.items()}
    data = {
        "version": VERSION,
        "files": manifest.files,
        "edits": edits,
        "directories": manifest.directories,
        "moved": manifest.moved,
    }
    replace_file(_path(root), (json.dumps(data, indent=1) + "\n").encode(), 0o600)


def forget(root: Path) -> None:
    """Remove the manifest, and the directories of the record as far as they are empty."""
    path = _path(root)
    remove_unfinished(path)
    remove_file(path)
    top = dirs.state_dir() / "trust"
    for directory in path.parents:
        if top not in directory.parents:
            return
        remove_empty(directory)


def _path(root: Path) -> Path:
    return trust.record_path(root).with_name(RECORD)


def _noted(entry: dict[str, Any]) -> NotedEdit:
    before = entry["before"]
    return NotedEdit(
        entry["kind"], None if before is None else base64.b64decode(before), entry["after"]
    )


def _written(noted: NotedEdit) -> dict[str, Any]:
    before = None if noted.before is None else base64.b64encode(noted.before).decode()
    return {"kind": noted.kind, "before": before, "after": noted.after}
