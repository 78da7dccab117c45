"""The real target of a write → where it lies and which lock it needs.

    classify(project, "/srv/shop/src/a.py")                          # SharedCheckout("src/a.py")
    classify(project, "/srv/shop/.claude/worktrees/dev-1/src/a.py")  # LinkedWorktree(…, "src/a.py")
    tool_targets(event, project)                 # of a Write, Edit, MultiEdit or NotebookEdit
    path_resource("src/a.py")                    # "path:src/a.py"
    write_resources(project, "src/auth", removes=True)   # ("path:src/auth/",): with all below it

The real path counts (symbolic links resolved), not the session's directory. Where the file system
ignores case, the path is spelled as on the disk: `SRC/A.py` is src/a.py there, and `.GIT/HEAD` is
git's own file.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from octet.base import dirs
from octet.base.process import host_id
from octet.guard.payload import PreToolUse
from octet.project.repository import (
    Project,
    UnusablePath,
    Worktree,
    checkout_of,
    is_within,
    real_path,
    repository_path,
)

FILE_FIELDS: Mapping[str, str] = {
    "Write": "file_path",
    "Edit": "file_path",
    "MultiEdit": "file_path",
    "NotebookEdit": "notebook_path",
}

# The client's String.trim() strips these from a path before it opens the file; Python's strip()
# strips others.
_TRIMMED = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_RESOURCE_LIMIT = 1000


@dataclass(frozen=True)
class Outside:
    """Not in this project; not guarded."""

    path: str


@dataclass(frozen=True)
class SharedCheckout:
    """In the main checkout; `path` is relative to it, with slashes."""

    path: str


@dataclass(frozen=True)
class LinkedWorktree:
    """In a linked worktree of the project; `path` is relative to that worktree, "." for the
    worktree itself.
    """

    worktree: Worktree
    path: str


@dataclass(frozen=True)
class GitInternal:
    """Git's own files of this project."""

    path: str


@dataclass(frozen=True)
class OctetInternal:
    """Octet's own state on this machine: approvals, sockets, the server's data."""

    path: str


@dataclass(frozen=True)
class Unreadable:
    """Not a path that a file can have, or no path at all; `why` says what is wrong."""

    why: str


Target = Outside | SharedCheckout | LinkedWorktree | GitInternal | OctetInternal | Unreadable


def tool_targets(event: PreToolUse, project: Project) -> tuple[Target, ...]:
    """What a file tool may write: one target, or several where the client may read the path in
    several ways; () for other tools.
    """
    name = FILE_FIELDS.get(event.tool_name)
    if name is None:
        return ()
    value = event.tool_input.get(name)
    if not isinstance(value, str) or not value:
        return (Unreadable(f"{event.tool_name} came without a {name}"),)
    return tuple(dict.fromkeys(classify(project, path) for path in _readings(value, event.cwd)))


def classify(project: Project, path: str) -> Target:
    """Where an absolute path lies. Never raises."""
    try:
        path.encode("utf-8")
        real = on_disk(project, real_path(path))
        state = Path(os.path.realpath(dirs.state_dir()))
    except UnicodeEncodeError:
        return Unreadable("the path is not valid Unicode")
    except UnusablePath as error:
        return Unreadable(str(error))
    # A state directory above the project (OCTET_HOME=/tmp in a test) does not make all of the
    # project Octet's own.
    if is_within(real, state) and not is_within(project.root, state):
        return OctetInternal(str(real))
    if project.common_dir and is_within(real, project.common_dir):
        return GitInternal(str(real))
    checkout = checkout_of(project, real)
    if checkout is None:
        return Outside(str(real))
    relative = real.relative_to(checkout.path if isinstance(checkout, Worktree) else checkout)
    if relative.parts[:1] == (".git",):
        return GitInternal(str(real))
    return (
        LinkedWorktree(checkout, relative.as_posix())
        if isinstance(checkout, Worktree)
        else SharedCheckout(relative.as_posix())
    )


def on_disk(project: Project, real: Path) -> Path:
    """The real path in the disk's spelling, where the project's file system ignores case. Parts
    that do not exist yet stay as they are.
    """
    root = project.root.parts
    if not project.ignores_case or [*map(_folded, real.parts[: len(root)])] != [
        *map(_folded, root)
    ]:
        return real
    found, names = project.root, real.parts[len(root) :]
    for at, name in enumerate(names):
        try:
            there = [entry.name for entry in found.iterdir()]
        except OSError:
            return found.joinpath(*names[at:])
        found /= (
            name
            if name in there
            else next((other for other in there if _folded(other) == _folded(name)), name)
        )
    return found


def spoken_resource(project: Project, resource: str) -> str:
    """The resource that a person means. Its path may be absolute, lead through a link, differ in
    case where case is ignored, or name a directory without a slash.

    Raises:
        UnusablePath, NoProject: the path leads nowhere, or out of the project.
    """
    text = resource.removeprefix("path:")
    if text == resource:
        return resource
    fixed, slash, rest = text, "/" * text.endswith("/"), ""
    if wild := re.search(r"[^/]*[*?]", text):
        fixed, slash, rest = text[: wild.start()], "", text[wild.start() :]
    absolute = fixed.startswith("/")
    if absolute and rest and not is_within(real_path(fixed), project.root):
        return resource  # a slash in front of a glob ties it to the root
    if not fixed:
        return resource
    real = on_disk(project, real_path(fixed if absolute else project.root / fixed))
    found = repository_path(project, real)
    if rest:
        return f"path:{'' if found == '.' else found + '/'}{rest}"
    return f"path:{found}/" if slash or real.is_dir() else path_resource(found)


def write_resources(project: Project, path: str, *, removes: bool = False) -> tuple[str, ...]:
    """The locks that a write in the main checkout needs, by the path relative to it. A directory
    that is removed takes all below it along.

    A new file where case is ignored has a second lock, in lower case: `New.py` and `new.py` are one
    file as soon as either exists.
    """
    place = project.root / path
    if removes and place.is_dir():
        return (directory_resource(path),)
    own = path_resource(path)
    if project.ignores_case and not os.path.lexists(place):
        return tuple(dict.fromkeys((own, path_resource(_folded(path)))))
    return (own,)


def path_resource(path: str) -> str:
    """The lock of a file, by its path relative to the checkout. `*` and `?`, wildcards in a lock's
    name, become %2A and %3F.
    """
    return _resource("path", path.replace("*", "%2A").replace("?", "%3F"))


def directory_resource(path: str) -> str:
    """The lock of a directory and all below it; "." is the whole checkout."""
    return _resource("path", "**") if path == "." else path_resource(path) + "/"


def worktree_resource(worktree: Worktree) -> str:
    """The lock of a linked worktree: `worktree:<host>-<repository>/<name>`. It differs between two
    clones, and between two machines.
    """
    place = hashlib.sha256(
        f"{host_id()}\0{worktree.common_dir}".encode("utf-8", "surrogateescape")
    ).hexdigest()[:6]
    return _resource("worktree", f"{host_id().rpartition('-')[0]}-{place}/{worktree.name}")


def repository_resource(branch: str) -> str:
    """The lock of a protected branch."""
    return _resource("repository", branch)


def _resource(kind: str, name: str) -> str:
    """A resource's name is one line of valid text: control characters become %0A, and a name that
    is too long ends in a hash.
    """
    safe = "".join(
        c if c.isprintable() or ord(c) > 0x9F else f"%{ord(c):02X}"
        for c in name.encode("utf-8", "replace").decode()
    )
    if len(safe) > _RESOURCE_LIMIT:
        safe = f"{safe[: _RESOURCE_LIMIT - 17]}~{hashlib.sha256(safe.encode()).hexdigest()[:16]}"
    return f"{kind}:{safe}"


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _readings(value: str, cwd: str) -> list[str]:
    """The paths that the client may make of a tool's path; nearly always one. It trims blanks,
    knows `~`, and resolves `..` before it follows links, where the kernel does so after.
    """
    found: dict[str, None] = {}
    for text in (value, value.strip(_TRIMMED)):
        for form in (text, unicodedata.normalize("NFC", text) if not text.isascii() else text):
            absolute = os.path.join(cwd, _expand_home(form))  # noqa: PTH118 - Path() drops "./"
            found |= dict.fromkeys(
                (absolute, os.path.normpath(absolute)) if ".." in absolute else (absolute,)
            )
    return list(found)


def _expand_home(path: str) -> str:
    if path == "~" or path.startswith("~/"):
        return f"{os.environ.get('HOME') or '~'}{path[1:]}"
    return path
