"""Where the fence's git hooks go, beside the repository's own, and whether they are still there.

    setup = plan(root, ("main",))       # Setup(files, edits, additions), for `installation.install`
    examine(load_project(root))         # FenceState(ok=False, detail="… was overwritten …")

Where git looks in its own directory (`hooks`), ours are written there, and another of the same name
is moved to `hooks-before-octet`, where ours runs it. Where `core.hooksPath` names another directory
(husky's `.husky/_`, a shared one), that setting and its files stay: an include at the end of git's
own configuration names `octet/hooks`, whose hooks then run those. It counts for the repository's
present path only (`includeIf gitdir`), so that a moved repository has its own hooks again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from octet.base import dirs
from octet.base.errors import OctetError
from octet.base.files import read_file
from octet.base.text import plain
from octet.git.program import Git
from octet.install import manifest as manifests
from octet.install.fence_hooks import (
    HOOKS,
    PASSED_ON,
    HookFacts,
    is_ours,
    read_protected,
    render,
    render_passing,
)
from octet.install.hooks_path import CONFIG, add_include
from octet.install.installation import Additions, Edit, Move
from octet.install.plugin import Asset
from octet.project import trust
from octet.project.config import FILE
from octet.project.repository import Project, common_dir_of

BEFORE = "hooks-before-octet"
_DIRECTORY = "octet/hooks"
_NEEDED_GIT = (2, 28)


@dataclass(frozen=True)
class Setup:
    """The fence's part for `installation.install`; empty outside of git."""

    files: Mapping[str, Asset] = field(default_factory=dict)
    edits: Sequence[Edit] = ()
    additions: Additions = field(default_factory=Additions)


@dataclass(frozen=True)
class FenceState:
    """Whether the fence is in order, and what is wrong or guarded, for people."""

    ok: bool
    detail: str


def plan(root: Path, protected: Sequence[str]) -> Setup:
    """The hooks for the repository at `root`, as its other hooks are now.

    Raises:
        OctetError: git cannot say where it looks for hooks.
    """
    common = common_dir_of(root)
    if common is None:
        return Setup()
    facts = _facts(root, common, protected)
    behind = _other_directory(root, common)
    if behind is None:
        return _plan_in_git_directory(root, common, facts)
    return _plan_by_include(root, common, facts, behind)


def _plan_in_git_directory(root: Path, common: Path, facts: HookFacts) -> Setup:
    hooks = _hooks_to_install(common)
    files = {
        str(common / "hooks" / name): content
        for name, content in render(facts, None).items()
        if name in hooks
    }
    room = _make_room(common, hooks)
    obsolete = [
        path
        for path in _written(root)
        if path.startswith((f"{common}/octet/", f"{common}/hooks/")) and path not in files
    ]
    return Setup(
        _assets(files),
        (),
        Additions(room.moves, room.displaced, [*map(Path, obsolete), common / "config"]),
    )


def _plan_by_include(root: Path, common: Path, facts: HookFacts, behind: str) -> Setup:
    hooks = {**_passing(root, behind), **render(facts, behind)}
    files = {str(common / _DIRECTORY / name): content for name, content in hooks.items()}
    assets = _assets(files) | {str(common / CONFIG): Asset(_settings(common))}
    written = _written(root)
    obsolete = [path for path in written if path.startswith(f"{common}/hooks/")]
    obsolete += [
        path for path in written if path.startswith(f"{common}/octet/") and path not in assets
    ]
    return Setup(
        assets,
        [Edit(common / "config", "hooks-path", lambda text: add_include(text, common))],
        Additions((), (), list(map(Path, obsolete))),
    )


def examine(project: Project) -> FenceState:
    """Whether git runs our hooks, and they are as they should be now."""
    assert project.common_dir is not None
    version = Git(project.root).out("--version")
    found = re.search(r"(\d+)\.(\d+)", version)
    if found and (int(found[1]), int(found[2])) < _NEEDED_GIT:
        return FenceState(
            False, f"{plain(version)} knows no reference-transaction hook: install 2.28 or newer"
        )
    wanted = plan(project.root, project.config.protected)
    if trouble := _bypass(project.root, wanted) or next(_troubles(wanted), ""):
        return FenceState(False, f"{trouble}: run `octet init`, which mends it")
    hooks = [name for name in HOOKS if any(Path(path).name == name for path in wanted.files)]
    return FenceState(
        True,
        f"{' and '.join(hooks)} guard "
        f"{', '.join(map(plain, project.config.protected)) or 'no branch'}",
    )


def touch(setup: Setup) -> None:
    """Make the hooks newer than the settings, from which they have the protected branches."""
    for path in setup.files:
        if Path(path).name in HOOKS and is_ours(read_file(Path(path))):
            os.utime(path)


def _bypass(root: Path, wanted: Setup) -> str:
    """The directory where git looks for hooks, if ours are not there.

    Another tool has set it, or a worktree's configuration, which takes precedence.
    """
    if not wanted.edits:
        return ""
    named = Git(root).run("config", "--type=path", "core.hooksPath").out
    directories = {str(Path(path).parent) for path in wanted.files if Path(path).name in HOOKS}
    return (
        ""
        if named in directories
        else f"core.hooksPath is {plain(named)}, and Octet's hooks are not there"
    )


def _troubles(wanted: Setup) -> Iterator[str]:
    for path, asset in wanted.files.items():
        name, current = Path(path).name, read_file(Path(path))
        if name == "pre-commit" and not wanted.edits and not is_ours(current):
            # Removed, or another tool's that came later: the transaction's hook still refuses.
            continue
        if current is None:
            yield f"the hook {name} is missing"
        elif current != asset.content and name in HOOKS and not is_ours(current):
            yield f"the hook {name} was overwritten by another tool"
        elif current != asset.content:
            before, now = read_protected(current), read_protected(asset.content)
            yield (
                f"the fence guards {', '.join(map(plain, before)) or 'no branch'}, "
                f"octet.toml says {', '.join(map(plain, now)) or 'none'}"
                if before != now
                else f"the hook {name} is of another version"
            )
        elif asset.executable and not os.access(path, os.X_OK):
            yield f"the hook {name} is not executable"


def _facts(root: Path, common: Path, protected: Sequence[str]) -> HookFacts:
    return HookFacts(
        root, common, dirs.state_dir(), trust.record_path(root), root / FILE, tuple(protected)
    )


def _assets(files: Mapping[str, bytes]) -> dict[str, Asset]:
    return {path: Asset(content, executable=True) for path, content in files.items()}


def _written(root: Path) -> list[str]:
    return list(manifests.load(root).files)


def _other_directory(root: Path, common: Path) -> str | None:
    """Where git would look for hooks without us; None for its own directory, which ours can use."""
    ran = Git(root).run(
        "config", "-z", "--show-origin", "--type=path", "--get-all", "core.hooksPath"
    )
    if ran.status > 1:
        raise OctetError(f"git cannot say where it looks for hooks: {ran.complaint}")
    fields = ran.out.split("\0")
    found = [
        value for origin, value in zip(fields[::2], fields[1::2], strict=False) if _counts(origin)
    ]
    own = common / "hooks"
    named = found[-1].rstrip("/") if found and found[-1] else ""
    if named and not (named.startswith("/") and os.path.realpath(named) == os.path.realpath(own)):
        return named
    return str(own) if own.is_symlink() else None  # its target may hold tracked files


def _counts(origin: str) -> bool:
    return not origin.endswith((CONFIG, "/config.worktree")) and not origin.startswith(
        "command line"
    )


def _passing(root: Path, behind: str) -> dict[str, bytes]:
    """Hooks for all that git may run from the other directory, now or when it is added there."""
    directory = root / behind
    there = (
        [path.name for path in directory.iterdir() if "." not in path.name and path.is_file()]
        if directory.is_dir()
        else []
    )
    names = sorted(
        {*PASSED_ON, *(name for name in there if os.access(directory / name, os.X_OK))} - {*HOOKS}
    )
    return {name: render_passing(name, behind) for name in names}


def _settings(common: Path) -> bytes:
    path = str(common / _DIRECTORY).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'[core]\n\thooksPath = "{path}"\n'.encode("utf-8", "surrogateescape")


def _hooks_to_install(common: Path) -> Sequence[str]:
    """The hooks for git's own directory; `pre-commit` only where there is another one.

    Ours spares the time of another `pre-commit`; without one it costs each commit a process.
    """
    home, place = common / "hooks" / "pre-commit", common / BEFORE / "pre-commit"
    another = not is_ours(_content(home)) and os.access(home, os.X_OK)
    return (
        HOOKS
        if another or os.path.lexists(place)
        else [name for name in HOOKS if name != "pre-commit"]
    )


def _make_room(common: Path, hooks: Sequence[str]) -> Additions:
    """The moves that make room for our hooks.

    A tool that came after us may have put ours aside, as `NAME.legacy` or `NAME.old`, and its hook
    runs that. The hook that ours had run then gets that name.
    """
    moves: list[Move] = []
    displaced = list(_displaced(common))
    for name in hooks:
        home, place = common / "hooks" / name, common / BEFORE / name
        if not os.path.lexists(home) or is_ours(_content(home)):
            continue
        put_aside = [path for path in displaced if path.name.startswith(f"{name}.")]
        if os.path.lexists(place) and not _are_of_one_tool(place, home):
            beside = put_aside[0] if put_aside else home.with_name(f"{name}.before")
            moves.append(Move(place, place.with_name(beside.name), beside))
        neighbours = [
            path
            for path in sorted(home.parent.glob(f"{name}.*"))
            if path not in displaced and path.suffix != ".sample"
        ]
        moves += [Move(path, place.with_name(path.name), path) for path in (*neighbours, home)]
    return Additions(moves, displaced)


def _are_of_one_tool(one: Path, other: Path) -> bool:
    """Whether a hook is another's later version: they would run each other for ever."""
    first, second = (_content(path) or b"" for path in (one, other))
    return first.splitlines()[:3] == second.splitlines()[:3]


def displaced_hooks(root: Path) -> list[Path]:
    """Hooks of ours under other names, put aside by another tool."""
    common = common_dir_of(root)
    return list(_displaced(common)) if common else []


def _displaced(common: Path) -> Iterator[Path]:
    for name in HOOKS:
        yield from (
            path for path in sorted((common / "hooks").glob(f"{name}.*")) if is_ours(_content(path))
        )


def _content(path: Path) -> bytes | None:
    return read_file(path) if path.is_file() else None
