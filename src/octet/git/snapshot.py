"""A worktree's work kept as a commit under `refs/octet/rescue/`, byte for byte; its index and files
stay as they are.

    snapshot = take_snapshot(Git(tree), "task-7", "2", base="main")
    snapshot.ref      # "refs/octet/rescue/task-7/2", or "…/2-2" when that name holds other work
    snapshot.size     # "3 files changed, 10 insertions(+); 1 commit not in main"

The commit's tree holds the files as they are, changed, staged or untracked, without the filters
that `git add` applies (line ends, LFS). Its first parent is HEAD; where the index holds something
else again, that is the second parent.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from octet.git.program import NO_HOOKS, Git, GitFailed

RESCUE = "refs/octet/rescue/"
AUTHOR = "rescue@octet.invalid"
_BATCH = 200
_NAMES_TRIED = 1000
_MAX_COUNTED = 1000


@dataclass(frozen=True)
class Snapshot:
    """Work that was kept. `skipped`: nested repositories, sockets and unreadable files."""

    ref: str
    commit: str
    size: str
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Changes:
    """Paths that may differ from HEAD in files or index; `foreign` ones no snapshot can hold."""

    paths: tuple[str, ...]
    foreign: tuple[str, ...]


def take_snapshot(git: Git, name: str, attempt: str, *, base: str) -> Snapshot | None:
    """Keep the worktree's work that the branch `base` lacks; None when there is none.

    Raises:
        GitFailed: git failed; nothing was kept.
    """
    quiet = git.at(git.directory, *NO_HOOKS)
    changes = read_changes(quiet)
    head = quiet.commit("HEAD")
    with tempfile.TemporaryDirectory(prefix="octet-snapshot-") as scratch:
        commit, skipped = _commit_files(quiet, head, changes, Path(scratch))
    if commit == head and not skipped and (not head or quiet.contains(f"refs/heads/{base}", head)):
        return None
    if not commit:
        return Snapshot("", "", "nothing that can be kept", skipped)
    return Snapshot(
        _keep(quiet, name, attempt, commit), commit, measure(quiet, commit, base), skipped
    )


def keep_commit(git: Git, name: str, attempt: str, commit: str, *, base: str) -> Snapshot | None:
    """The same for a worktree whose directory is gone: its last commit. None when `base` has it."""
    if not commit or git.contains(f"refs/heads/{base}", commit):
        return None
    return Snapshot(
        _keep(git.at(git.directory, *NO_HOOKS), name, attempt, commit),
        commit,
        measure(git, commit, base),
    )


def read_changes(git: Git) -> Changes:
    """Changed, staged and untracked paths, also those marked assume-unchanged or skip-worktree."""
    args = (
        "status",
        "--porcelain=v2",
        "-z",
        "--no-renames",
        "--untracked-files=all",
        "--ignore-submodules=none",
    )
    paths: dict[str, None] = {}
    foreign: dict[str, None] = {}
    for entry in filter(None, git.out(*args).split("\0")):
        kind, _, rest = entry.partition(" ")
        path = rest if kind == "?" else rest.split(" ", {"1": 7, "u": 9}[kind])[-1]
        is_repository = path.endswith("/") or (
            kind != "?" and rest.split(" ", 2)[1].startswith("S")
        )
        (foreign if is_repository else paths)[path] = None
    paths |= dict.fromkeys(
        path for path in _hidden_by_flags(git) if os.path.lexists(git.directory / path)
    )
    return Changes(tuple(paths), tuple(foreign))


def has_unlanded_work(git: Git, base: str, landed: str = "") -> bool:
    """Whether a worktree has work that the branch `base` lacks.

    Files that git ignores do not count, nor does the commit that has `landed`.
    """
    changes, head = read_changes(git), git.commit("HEAD")
    unmerged = head and head != landed and not git.contains(f"refs/heads/{base}", head)
    return bool(changes.paths or changes.foreign or unmerged)


def is_snapshot(git: Git, commit: str) -> bool:
    """Whether `take_snapshot` made a commit, and not the agent."""
    return git.out("log", "-1", "--format=%ae", commit) == AUTHOR


def list_snapshots(git: Git, name: str) -> Sequence[str]:
    """The refs of the snapshots of a task or worktree, the latest first."""
    found = git.out(
        "for-each-ref",
        "--sort=-committerdate",
        "--sort=-version:refname",
        "--format=%(refname)",
        f"{RESCUE}{name}/",
    )
    return found.splitlines()


def measure(git: Git, commit: str, base: str) -> str:
    """The size of what a commit has and `base` lacks, in a line."""
    fork = git.run("merge-base", f"refs/heads/{base}", commit).out
    files = git.run("diff", "--shortstat", fork, commit).out.strip() if fork else ""
    authors = git.run(
        "log", "--format=%ae", f"--max-count={_MAX_COUNTED}", commit, f"^refs/heads/{base}"
    ).out.splitlines()
    own = len([author for author in authors if author != AUTHOR])
    commits = f"{own} commit{'s' if own != 1 else ''} not in {base}" if own else ""
    return "; ".join(filter(None, (files, commits))) or "no difference"


def _hidden_by_flags(git: Git) -> Iterator[str]:
    for entry in git.out("ls-files", "-v", "-z").split("\0"):
        tag, _, path = entry.partition(" ")
        if path and (tag.islower() or tag == "S"):
            yield path


def _commit_files(
    git: Git, head: str, changes: Changes, scratch: Path
) -> tuple[str, tuple[str, ...]]:
    """The commit of index and files (`head` when they add nothing), and the skipped paths."""
    files = git.having(GIT_INDEX_FILE=str(scratch / "files"))
    files.out("read-tree", *([head] if head else ["--empty"]))
    entries, gone, skipped = _entries(git, changes.paths)
    # Deletions first: where a directory has replaced a file, the file's entry must go before.
    lines = [*(f"0 {'0' * len(head)}\t{path}" for path in gone if head), *entries]
    files.fed(
        "".join(f"{line}\0" for line in lines).encode("utf-8", "surrogateescape"),
        "update-index",
        "-z",
        "--index-info",
    )
    tree = files.out("write-tree")
    before = git.out("rev-parse", f"{head}^{{tree}}") if head else ""
    staged = _staged_tree(git, scratch)
    parents = [head] if head else []
    if staged and staged not in (tree, before):
        parents.append(_commit(git, staged, parents, "What was staged"))
    skipped += changes.foreign
    if len(parents) < 2 and (tree == before or (not head and not entries)):
        return head, skipped
    message = ["Work that was not committed", "", *(f"Left out: {path!a}" for path in skipped)]
    return _commit(git, tree, parents, "\n".join(message)), skipped


def _staged_tree(git: Git, scratch: Path) -> str:
    """The index's own tree; "" when it has none: during a conflict, before the first `git add`."""
    try:
        shutil.copyfile(git.path("index"), scratch / "index")
    except FileNotFoundError:
        return ""
    ran = git.having(GIT_INDEX_FILE=str(scratch / "index")).run("write-tree")
    return ran.out if ran.status == 0 else ""


def _commit(git: Git, tree: str, parents: Sequence[str], message: str) -> str:
    who = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", "Octet"), ("EMAIL", AUTHOR))
    }
    flags = [word for parent in parents for word in ("-p", parent)]
    return git.having(**who).out("commit-tree", tree, *flags, "-m", message)


def _entries(git: Git, paths: Sequence[str]) -> tuple[list[str], list[str], tuple[str, ...]]:
    """Lines for `update-index --index-info`, the paths that are gone, and the unreadable ones."""
    found: list[str] = []
    gone: list[str] = []
    skipped: list[str] = []
    regular: dict[str, str] = {}
    for path in paths:
        mode = _mode(git.directory / path)
        if mode == "":
            gone.append(path)
        elif mode == "120000":
            target = os.fsencode((git.directory / path).readlink())
            found.append(f"{mode} {git.fed(target, 'hash-object', '-w', '--stdin')}\t{path}")
        elif mode == "other":
            skipped.append(path)
        else:
            regular[path] = mode
    names = list(regular)
    for start in range(0, len(names), _BATCH):
        for path, blob in _store(git, names[start : start + _BATCH]):
            if blob:
                found.append(f"{regular[path]} {blob}\t{path}")
            else:
                skipped.append(path)
    return found, gone, tuple(skipped)


def _store(git: Git, paths: list[str]) -> list[tuple[str, str]]:
    """Each path with the blob of its bytes, "" when unreadable; one such file loses no other."""
    ran = git.run("hash-object", "-w", "--no-filters", "--", *paths)
    if ran.status == 0:
        return list(zip(paths, ran.out.splitlines(), strict=True))
    if len(paths) == 1:
        return [(paths[0], "")]
    middle = len(paths) // 2
    return [*_store(git, paths[:middle]), *_store(git, paths[middle:])]


def _mode(path: Path) -> str:
    """Git's mode of the file; "" when there is none, "other" for a kind that git cannot hold."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if stat.S_ISLNK(mode):
        return "120000"
    if stat.S_ISREG(mode):
        return "100755" if mode & stat.S_IXUSR else "100644"
    return "" if stat.S_ISDIR(mode) else "other"


def _keep(git: Git, name: str, attempt: str, commit: str) -> str:
    """Give the commit a ref. An earlier snapshot's is never overwritten; equal work has one."""
    for number in range(1, _NAMES_TRIED):
        ref = f"{RESCUE}{name}/{attempt}" + (f"-{number}" if number > 1 else "")
        # An empty old value: only when there is no such ref yet. The loser of that race compares
        # its work with the winner's.
        if git.commit(ref) == "" and git.patient("update-ref", ref, commit, "").status == 0:
            return ref
        if (present := git.commit(ref)) and _same_work(git, present, commit):
            return ref
    raise GitFailed(
        f"{RESCUE}{name}/{attempt} and {_NAMES_TRIED} names after it are taken: remove old "
        "ones with `git update-ref -d`"
    )


def _same_work(git: Git, one: str, other: str) -> bool:
    """Whether two snapshots have one tree and the same parents; their times may differ."""
    first, second = (git.out("log", "-1", "--format=%T %P", commit) for commit in (one, other))
    return one == other or (first == second and is_snapshot(git, one))
