"""The repository that a path belongs to, its worktrees, and whether it uses Octet.

    root = find_root(Path.cwd())      # the main checkout, also of a linked worktree; None: no Octet
    project = load_project(root)      # Project(name, root, config, …)
    find_worktree(root / "src/a.py")  # Worktree(path, name, git_dir, common_dir, is_main)
    repository_path(project, root / ".claude/worktrees/dev-1/src/a.py")     # "src/a.py"

Reads `.git` by hand, without a git process. All paths are real paths: symbolic links resolved, also
above a tail that does not exist.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from octet.base.errors import NoProject, UsageError
from octet.project import config as settings
from octet.project import git_config
from octet.project.config import Config

# The limit of Linux. Nothing longer can be opened, and resolving it would cost time for each part.
PATH_LIMIT = 4096
_SMALL_FILE = 1 << 16
# The placeholder that a reftable repository keeps in HEAD.
_REFTABLE_HEAD = "ref: refs/heads/.invalid"
_PACKED_REFS = 1 << 24


class UnusablePath(UsageError):
    """A path that no file can have: a NUL in it, not encodable, or too long."""


@dataclass(frozen=True)
class Worktree:
    """A checkout of a repository.

    `name` is git's id of a linked worktree, "" for the main one. `git_dir` holds its HEAD,
    `common_dir` the refs that all worktrees share.
    """

    path: Path
    name: str
    git_dir: Path
    common_dir: Path
    is_main: bool


@dataclass(frozen=True)
class Project:
    """A repository that opted in.

    `root` is the main checkout, `common_dir` its git directory, None without git. `ignores_case`:
    on its file system `SRC/A.py` is `src/a.py`, as git found out at `git init` (core.ignorecase).
    """

    name: str
    root: Path
    config: Config
    common_dir: Path | None = None
    ignores_case: bool = False


def find_root(start: str | Path) -> Path | None:
    """The main checkout with a `.claude/octet.toml` around `start`; None when there is none.

    From a linked worktree it is that of its repository. A repository inside another one (a
    submodule, a clone) that has not opted in belongs to the outer project's tree.

    Raises:
        UnusablePath: no file can have that path.
    """
    for directory in _upward(real_path(start)):
        worktree = _worktree_at(directory)
        if worktree and not worktree.is_main and (main := main_checkout(worktree)):
            # The copy of octet.toml in a linked worktree belongs to its branch; the main checkout's
            # counts for the repository.
            if _opted_in(main):
                return main
        elif _opted_in(directory):
            return directory
    return None


def load_project(root: str | Path) -> Project:
    """The project of a root that `find_root` gave.

    Raises:
        NoProject: there is no `.claude/octet.toml` in `root`.
        ConfigError: it cannot be understood.
    """
    real = real_path(root)
    if not _opted_in(real):
        raise NoProject(f"{real} does not use Octet: run `octet init` there")
    config = settings.load(real)
    common_dir = common_dir_of(real)
    ignores_case = (
        common_dir is not None
        and git_config.section(common_dir / "config", "core").get("ignorecase", "").lower()
        == "true"
    )
    return Project(config.project, real, config, common_dir, ignores_case)


def common_dir_of(root: Path) -> Path | None:
    """The shared git directory of the checkout at `root` itself; None when it is no checkout."""
    worktree = _worktree_at(root)
    return worktree.common_dir if worktree else None


def find_worktree(path: str | Path) -> Worktree | None:
    """The innermost checkout of any repository around `path`.

    None outside of git, or in a bare repository.

    Raises:
        UnusablePath: no file can have that path.
    """
    for directory in _upward(real_path(path)):
        if worktree := _worktree_at(directory):
            return worktree
    return None


def worktree_of_git_dir(git_dir: Path) -> Worktree | None:
    """The checkout of a git directory (a real path, as in `--git-dir`); None when it is none.

    Its `path` is where git last saw it; for a main checkout a guess: the parent.
    """
    # Only a linked worktree has `commondir`; a submodule or a separate git directory is a
    # repository of its own.
    if common := _read_small(git_dir / "commondir"):
        place = _read_small(git_dir / "gitdir")
        path = Path(os.path.realpath(place)).parent if place else git_dir.parent
        return Worktree(
            path, git_dir.name, git_dir, Path(os.path.realpath(git_dir / common)), False
        )
    return Worktree(git_dir.parent, "", git_dir, git_dir, True) if _is_git_dir(git_dir) else None


def worktrees_of(common_dir: Path) -> Iterator[Worktree]:
    """The checkouts of a repository, from its shared git directory; also those that are gone."""
    if _is_git_dir(common_dir):
        yield Worktree(common_dir.parent, "", common_dir, common_dir, True)
    for git_dir in _list(common_dir / "worktrees"):
        if found := worktree_of_git_dir(Path(os.path.realpath(git_dir))):
            yield found


def main_checkout(worktree: Worktree) -> Path | None:
    """The directory of the main checkout of a worktree's repository; None when it is bare."""
    if worktree.is_main:
        return worktree.path
    common = worktree.common_dir
    if common.name == ".git":
        return common.parent
    # A separate git directory or a submodule says where its checkout is; `repo/.bare` beside a
    # `.git` file is found by that file.
    if configured := git_config.section(common / "config", "core").get("worktree"):
        return Path(os.path.realpath(common / configured))
    beside = _worktree_at(common.parent)
    return beside.path if beside and beside.common_dir == common else None


def current_branch(worktree: Worktree) -> str | None:
    """The branch that a commit in this worktree moves; "" when HEAD is detached.

    None when HEAD cannot be read by hand. During a rebase, when HEAD is detached, the branch is the
    one being rebased.
    """
    head = _head(worktree.git_dir)
    if head in (None, _REFTABLE_HEAD):
        return None
    if head.startswith("ref: "):
        return head.removeprefix("ref: ").strip().removeprefix("refs/heads/")
    for state in ("rebase-merge", "rebase-apply"):
        if name := _read_small(worktree.git_dir / state / "head-name"):
            return name.removeprefix("refs/heads/")
    return ""


def branch_exists(worktree: Worktree, name: str) -> bool:
    """Whether `git checkout NAME` would switch to a local branch or to a remote's."""
    common = worktree.common_dir
    if _is_file(common / "refs" / "heads" / name):
        return True
    if any(_is_file(remote / name) for remote in _list(common / "refs" / "remotes")):
        return True
    packed = _read_small(common / "packed-refs", limit=_PACKED_REFS) or ""
    return any(
        _names_branch(line.partition(" ")[2], name)
        for line in packed.split("\n")
        if line.endswith(f"/{name}")
    )


def repository_path(project: Project, path: str | Path) -> str:
    """`path` relative to its checkout, with slashes: the same in every worktree.

    Raises:
        UnusablePath: no file can have that path.
        NoProject: it is in no checkout of this project.
    """
    real = real_path(path)
    checkout = checkout_of(project, real)
    if checkout is None:
        raise NoProject(f"{real} is not in {project.root} nor in a worktree of it")
    return real.relative_to(
        checkout.path if isinstance(checkout, Worktree) else checkout
    ).as_posix()


def checkout_of(project: Project, real: Path) -> Worktree | Path | None:
    """The checkout around a real path: a linked `Worktree`, the project's root, or None.

    Another repository inside the root (a submodule) counts as part of the root.
    """
    for directory in _upward(real):
        if directory == project.root:
            return project.root
        worktree = _worktree_at(directory)
        if worktree and project.common_dir and worktree.common_dir == project.common_dir:
            return worktree
    return None


def real_path(path: str | Path) -> Path:
    """The absolute path with symbolic links resolved; its tail need not exist.

    Raises:
        UnusablePath: no file can have that path.
    """
    text = os.fspath(path)
    try:
        if len(os.fsencode(text)) > PATH_LIMIT:
            raise UnusablePath(f"a path of {len(text)} characters is longer than the system allows")
        return Path(os.path.realpath(text))
    except UnicodeEncodeError as error:
        raise UnusablePath("the path is not valid Unicode") from error
    except ValueError as error:
        raise UnusablePath("the path has a NUL character in it") from error
    except OSError as error:  # the current directory is gone, and the path is relative to it
        raise UnusablePath(f"the path cannot be resolved: {error.strerror}") from error


def is_within(path: Path, directory: Path) -> bool:
    """Whether a real path is a real directory or lies in it."""
    # Not by `path.parents`, which makes two thousand objects of a deep path.
    return path == directory or str(path).startswith(f"{str(directory).rstrip('/')}/")


def _upward(path: Path) -> Iterator[Path]:
    """The directories that exist from `path` upwards."""
    text = str(path)
    while not _exists(text) and text != "/":
        text = text.rpartition("/")[0] or "/"
    there = Path(text)
    yield there
    yield from there.parents


def _exists(path: str) -> bool:
    try:
        os.lstat(path)
    except (OSError, ValueError):
        return False
    return True


def _opted_in(directory: Path) -> bool:
    return _is_file(directory / settings.FILE)


def _worktree_at(directory: Path) -> Worktree | None:
    """The checkout whose top is `directory`; None when its `.git` is missing or is none."""
    entry = directory / ".git"
    try:
        entry.lstat()
    except (OSError, ValueError):
        return None  # the only cost of most directories on the way up
    if _is_git_dir(entry):
        git_dir = Path(os.path.realpath(entry))
        return Worktree(directory, "", git_dir, git_dir, True)
    text = _read_small(entry)
    if text is None or not text.startswith("gitdir: "):
        return None
    found = worktree_of_git_dir(Path(os.path.realpath(directory / text.removeprefix("gitdir: "))))
    return replace(found, path=directory) if found else None


def _is_git_dir(path: Path) -> bool:
    return _head(path) is not None and _is_dir(path / "objects")


def _head(git_dir: Path) -> str | None:
    head = git_dir / "HEAD"
    try:
        return f"ref: {head.readlink()}"  # git before 2005 and `core.preferSymlinkRefs` link HEAD
    except OSError:
        return _read_small(head)


def _names_branch(ref: str, name: str) -> bool:
    kind, _, rest = ref.removeprefix("refs/").partition("/")
    return (kind == "heads" and rest == name) or (
        kind == "remotes" and rest.partition("/")[2] == name
    )


def _read_small(path: Path, limit: int = _SMALL_FILE) -> str | None:
    """A regular file's text without its last line end; None when it is missing or unreadable."""
    try:
        if not path.is_file():  # a FIFO in its place would block us for ever
            return None
        with path.open("rb") as file:
            text = os.fsdecode(file.read(limit)).rstrip("\r\n")
    except (OSError, ValueError):
        return None
    return None if "\0" in text else text  # git's small files are lines of text, mostly paths


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _list(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []
