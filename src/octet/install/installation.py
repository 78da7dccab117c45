"""Writes what `octet init` installs, and remembers it so that `--undo` takes back exactly that.

`cli.init` says what is written: it asks `plugin` for the drop-in and `fence` for git's hooks. This
module writes what it is given.

    with locked():
        changes = install(root, files, edits)    # [Change("created", ".claude/octet.toml"), …]
        changes = uninstall(root)

Three kinds of writing. A *file* is Octet's own: it is never written over one that another hand
made or changed. An *edit* adds to a file that belongs to the user (settings.json, git's exclude
list): its bytes from before are kept, and put back. A *move* puts a file of the user's aside, where
one of Octet's needs its name, and back again.

The manifest lies beside the trust record, outside the repository, and is saved before the first
write. So a run that was killed half-way is completed by the next one, or undone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from octet.base import dirs
from octet.base.errors import ConfigError, UsageError
from octet.base.files import (
    move_file,
    read_file,
    remove_empty,
    remove_file,
    remove_unfinished,
    replace_file,
)
from octet.git import exclude
from octet.install import client_settings
from octet.install import manifest as manifests
from octet.install.hooks_path import remove_include
from octet.install.manifest import Manifest, NotedEdit
from octet.install.plugin import Asset

LOCK_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Change:
    """What happened to one file."""

    action: str  # created, changed, removed, restored, kept, or skipped
    path: str
    why: str = ""  # the reason, when skipped


@dataclass(frozen=True)
class Edit:
    """Text that Octet adds to a user's file.

    `kind` names the function that removes it. `add` leaves a text alone that has it.
    """

    path: Path
    kind: str
    add: Callable[[str], str]


@dataclass(frozen=True)
class Move:
    """A file of the user's that makes room for one of Octet's."""

    now: Path  # where it is
    place: Path  # where it goes
    home: Path  # where `--undo` puts it


@dataclass(frozen=True)
class Additions:
    """Moves that make room, files of Octet's under other names, and what this run does without."""

    moves: Sequence[Move] = ()
    displaced: Sequence[Path] = ()
    obsolete: Sequence[Path] = ()


@dataclass(frozen=True)
class _Write:
    path: Path
    content: bytes
    mode: int
    change: Change


@contextmanager
def locked() -> Iterator[None]:
    """Let one `octet init` of a person run at a time, with one manifest and one project name.

    Raises:
        UsageError: another one did not end in time, or the state directory cannot be written.
    """
    lock = FileLock(dirs.make_private(dirs.state_dir()) / "init.lock", timeout=LOCK_TIMEOUT_S)
    try:
        with lock:
            yield
    except Timeout as error:
        raise UsageError(
            f"another `octet init` holds {lock.lock_file} for {LOCK_TIMEOUT_S:.0f} s: end it "
            "and try again"
        ) from error


def install(
    root: Path,
    files: Mapping[str, Asset],
    edits: Sequence[Edit] = (),
    additions: Additions | None = None,
) -> list[Change]:
    """Write `files` (paths below `root`, or absolute) and make `edits`; nothing is written if one
    of them cannot be made.

    Args:
        root: the main checkout, a real path.

    Raises:
        ConfigError: a file to be edited cannot be understood.
        UsageError: a path leads out of the repository, or cannot be written.
    """
    additions = additions or Additions()
    manifest = manifests.load(root)
    moved = {str(move.now) for move in additions.moves}
    planned = [
        _plan_file(root, manifest, path, asset, moved=path in moved)
        for path, asset in files.items()
    ]
    planned += [_plan_edit(root, manifest, edit) for edit in edits]
    writes = [step for step in planned if isinstance(step, _Write)]
    _sweep(root, manifest)
    obsolete = [
        path
        for path in map(str, additions.obsolete)
        if path in manifest.files or path in manifest.edits
    ]
    if writes or additions.moves or additions.displaced or obsolete:
        _note_directories(
            root,
            manifest,
            [*(step.path for step in writes), *(move.place for move in additions.moves)],
        )
        manifest.moved |= {str(move.home): str(move.place) for move in additions.moves}
        manifests.save(root, manifest)
        for path in additions.displaced:
            remove_file(path)
        for move in additions.moves:
            move_file(move.now, move.place)
        for step in writes:
            replace_file(step.path, step.content, step.mode)
        _drop(root, manifest, obsolete)
    changes = [step.change if isinstance(step, _Write) else step for step in planned if step]
    return [*(_moved(root, move) for move in additions.moves), *changes]


def uninstall(root: Path) -> list[Change]:
    """Take back what `install` wrote in `root`; what the user changed since is left to the user,
    without our part in it.

    Raises:
        ConfigError: an edited file can no longer be understood; nothing was changed.
        UsageError: something cannot be removed.
    """
    manifest = manifests.load(root)
    edits = [_plan_undo(root, Path(path), noted) for path, noted in manifest.edits.items()]
    _sweep(root, manifest)
    changes = [_undo_edit(*edit) for edit in edits if edit]
    changes += [
        change
        for path, hashes in manifest.files.items()
        if (change := _take_back(root, path, hashes))
    ]
    moved = reversed(
        manifest.moved.items()
    )  # a hook before what lies beside it: by the hook the next `install` finds both
    changes += [
        change for home, place in moved if (change := _bring_back(root, Path(home), Path(place)))
    ]
    for directory in sorted(manifest.directories, key=len, reverse=True):
        remove_empty(Path(directory))
    manifests.forget(root)
    return changes


def _drop(root: Path, manifest: Manifest, obsolete: Sequence[str]) -> None:
    """Take back some of what an earlier run wrote."""
    for path in obsolete:
        if path in manifest.edits:
            if undo := _plan_undo(root, Path(path), manifest.edits.pop(path)):
                _undo_edit(*undo)
        else:
            _take_back(root, path, manifest.files.pop(path))
    if obsolete:
        manifests.save(root, manifest)


def _moved(root: Path, move: Move) -> Change:
    return Change(
        "kept", _shown(root, move.home), f"runs after Octet's, from {_shown(root, move.place)}"
    )


def _bring_back(root: Path, home: Path, place: Path) -> Change | None:
    if not os.path.lexists(place):
        return None
    if os.path.lexists(home):
        return Change(
            "skipped", _shown(root, place), f"left there: {_shown(root, home)} is another one now"
        )
    move_file(place, home)
    return Change("restored", _shown(root, home))


def settings_edit(root: Path, hooks: client_settings.Hooks) -> Edit:
    """The drop-in's hooks in the repository's settings.json."""
    return Edit(
        root / ".claude" / "settings.json",
        "settings",
        lambda text: client_settings.add_hooks(text, hooks),
    )


def exclude_edit(common_dir: Path) -> Edit:
    """Agents' worktrees hidden from `git status`: in git's own list, not the user's .gitignore."""
    return Edit(exclude.path_in(common_dir), "exclude", exclude.add_ours)


_REMOVE: Mapping[str, Callable[[str], str]] = {
    "settings": client_settings.remove_hooks,
    "exclude": exclude.remove_ours,
    "hooks-path": remove_include,
}


def _plan_file(
    root: Path, manifest: Manifest, path: str, asset: Asset, *, moved: bool
) -> _Write | Change | None:
    target = root / path if moved else _inside(root, path)  # what is moved may be a link
    current = None if moved else read_file(target)
    known, shown = manifest.files.get(path, []), _shown(root, Path(path))
    if current == asset.content:
        return None
    if current is not None and _digest(current) not in known:
        return Change(
            "skipped",
            shown,
            "changed since Octet wrote it" if known else "a file of your own is there",
        )
    manifest.files[path] = sorted({*known, _digest(asset.content)})
    return _Write(
        target,
        asset.content,
        0o777 if asset.executable else 0o666,
        Change("created" if current is None else "changed", shown),
    )


def _plan_edit(root: Path, manifest: Manifest, edit: Edit) -> _Write | None:
    target = _inside(root, edit.path)
    current = read_file(target)
    noted = manifest.edits.get(str(edit.path))
    before, after = current, []
    if (
        noted
        and current is not None
        and (current == noted.before or _digest(current) in noted.after)
    ):
        before, after = noted.before, noted.after
    elif (
        noted and current is not None
    ):  # changed by the user since: without our part it is what there would be without us
        before, after = _encode(_REMOVE[edit.kind](_decode(current, target))), [_digest(current)]
    new = _encode(_edited(edit, target, current or b""))
    if new == (current or b""):
        return None
    manifest.edits[str(edit.path)] = NotedEdit(edit.kind, before, [*after, _digest(new)])
    return _Write(
        target,
        new,
        0o666,
        Change("created" if current is None else "changed", _shown(root, edit.path)),
    )


def _edited(edit: Edit, target: Path, current: bytes) -> str:
    try:
        return edit.add(_decode(current, target))
    except ConfigError as error:
        raise ConfigError(f"{target}: {error}: correct it, then run `octet init` again") from error


def _plan_undo(
    root: Path, path: Path, noted: NotedEdit
) -> tuple[Path, bytes | None, Change] | None:
    """Path, the content that it gets (None: it is removed), and what that is called; None where
    nothing of ours is left.
    """
    target = _inside(root, path)
    current = read_file(target)
    if current is None or current == noted.before:
        return None
    shown = _shown(root, path)
    if _digest(current) in noted.after:
        return (
            target,
            noted.before,
            Change("removed" if noted.before is None else "restored", shown),
        )
    try:
        rest = _REMOVE[noted.kind](_decode(current, target))
    except ConfigError as error:
        raise ConfigError(
            f"{target}: {error}: correct it, then run `octet init --undo` again"
        ) from error
    if noted.before is None and "".join(rest.split()) in ("", "{}"):
        return target, None, Change("removed", shown)
    return (
        target,
        _encode(rest),
        Change("changed", shown, "only Octet's part was taken out: you changed it since"),
    )


def _undo_edit(path: Path, content: bytes | None, change: Change) -> Change:
    if content is None:
        remove_file(path)
    else:
        replace_file(path, content, 0o666)
    return change


def _take_back(root: Path, path: str, hashes: Sequence[str]) -> Change | None:
    target = _inside(root, path)
    current = read_file(target)
    if current is None:
        return None
    if _digest(current) not in hashes:
        return Change("skipped", _shown(root, Path(path)), "left there: you changed it since")
    remove_file(target)
    return Change("removed", _shown(root, Path(path)))


def _sweep(root: Path, manifest: Manifest) -> None:
    """Remove what a write left that was killed before it put its file in place."""
    for path in [*manifest.files, *manifest.edits]:
        remove_unfinished(_inside(root, path))


def _note_directories(root: Path, manifest: Manifest, paths: Sequence[Path]) -> None:
    """The directories that writing `paths` will make, and that of the worktrees, which later
    commands make.
    """
    for path in [*paths, root / exclude.WORKTREES.strip("/") / "any"]:
        missing = [str(parent) for parent in path.parents if not parent.exists()]
        manifest.directories += [
            directory for directory in missing if directory not in manifest.directories
        ]


def _inside(root: Path, path: str | Path) -> Path:
    """The real path of a file to write. A cloned repository may hold links: none of them leads a
    write out of it or into `.git`.
    """
    asked, private = root / path, root / ".git"
    real = Path(os.path.realpath(asked))
    if private in asked.parents or root not in asked.parents:
        return real  # git's own directory, here or elsewhere: a clone brings nothing into it
    if root not in real.parents or private in real.parents:
        raise UsageError(
            f"{asked} leads to {real} by a symbolic link: Octet writes only inside the "
            "repository; replace the link"
        )
    return real


def _decode(content: bytes, path: Path) -> str:
    try:
        return content.decode(
            "utf-8", "surrogateescape" if path.name in ("exclude", "config") else "strict"
        )
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: not UTF-8 text: correct it, then run the command again"
        ) from error


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _shown(root: Path, path: Path) -> str:
    return str(path.relative_to(root)) if root in path.parents else str(path)
