"""Two commits merged into a tree, without touching any worktree.

`git merge-tree --write-tree` (git 2.38) does the merging. An older git merges through an index and
a directory of its own, with `git merge-recursive`, which is slower and gives the same answer.

The person's and the machine's settings do not affect the result: no rerere (it would resolve a
conflict as an earlier one was resolved, unseen), no merge driver that settings assign to a name in
`.gitattributes` (text is merged as text), no global attributes. Git's own drivers (`union`,
`binary`) work as the branch's `.gitattributes` says.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from octet.git.program import NO_HOOKS, Git, GitFailed

_NEUTRAL = (
    *NO_HOOKS,
    *("-c", "rerere.enabled=false"),
    *("-c", "merge.default=text"),
    *("-c", "merge.renames=true"),
    *("-c", "merge.directoryRenames=conflict"),
    *("-c", "merge.renormalize=false"),
    *("-c", "core.attributesFile=/dev/null"),
    *("-c", "i18n.commitEncoding=UTF-8"),
)
_TEXT_DRIVER = "git merge-file -q --marker-size=%L %A %O %B"
_NO_SUCH_OPTION = 129


@dataclass(frozen=True)
class ConflictingPaths:
    """The files of a conflict."""

    paths: tuple[str, ...]


def conflicts_between(git: Git, ours: str, theirs: str) -> tuple[str, ...] | None:
    """The files in which two commits conflict, None if they do not. The attributes are those of the
    checkout `git.directory`.

    Raises:
        GitFailed: one of them is no commit, or they have no history in common.
    """
    merged = merge_trees(with_neutral_settings(git), ours, theirs)
    return merged.paths if isinstance(merged, ConflictingPaths) else None


def with_neutral_settings(git: Git) -> Git:
    """Git in the same directory, merging without any setting of the person's."""
    drivers = git.run(
        "config", "-z", "--name-only", "--get-regexp", r"^merge\..*\.driver$"
    ).out.split("\0")
    named = [name for name in drivers if name and "=" not in name]
    replaced = [word for name in named for word in ("-c", f"{name}={_TEXT_DRIVER}")]
    return git.at(git.directory, *_NEUTRAL, *replaced)


def merge_trees(git: Git, ours: str, theirs: str) -> str | ConflictingPaths:
    """The tree of a merge of two commits, or where they conflict. `git` has neutral settings.

    Raises:
        GitFailed: git cannot merge them.
    """
    ran = git.run("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs)
    if ran.status == _NO_SUCH_OPTION:
        return _merge_by_index(git, ours, theirs)
    if ran.status not in (0, 1) or not ran.out:
        raise GitFailed(f"git cannot merge {theirs}: {ran.complaint}")
    tree, *paths = ran.out.split("\0")
    return ConflictingPaths(tuple(path for path in paths if path)) if ran.status else tree


def _merge_by_index(git: Git, ours: str, theirs: str) -> str | ConflictingPaths:
    bases = git.run("merge-base", "--all", ours, theirs).out.split()
    if not bases:
        raise GitFailed(f"git cannot merge {theirs}: refusing to merge unrelated histories")
    with tempfile.TemporaryDirectory(prefix="octet-merge-") as directory:
        files = Path(directory, "files")
        files.mkdir()
        here = git.having(GIT_WORK_TREE=str(files), GIT_INDEX_FILE=str(Path(directory, "index")))
        here.out("read-tree", ours)
        ran = here.run("merge-recursive", *bases, "--", ours, theirs)
        entries = here.out("ls-files", "--unmerged", "-z").split("\0")
        paths = dict.fromkeys(entry.partition("\t")[2] for entry in entries if entry)
        if ran.status == 0:
            return here.out("write-tree")
        if not paths:
            raise GitFailed(f"git cannot merge {theirs}: {ran.complaint}")
        return ConflictingPaths(tuple(paths))
