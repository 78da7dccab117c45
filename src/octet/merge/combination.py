"""Commits that hold the branch and the works, made without touching any worktree; and conflicts,
foretold.

`git merge-tree --write-tree` (git 2.38) does the merging. An older git merges through an index and
a directory of its own, with `git merge-recursive`; that is slower and its answer the same.

Person and machine have no say in what comes out: no rerere (a conflict settled by how an earlier
one was settled, and nobody looked), no driver that a person's settings give to a name in
`.gitattributes` (text is merged as text), no global attributes. The drivers that git has itself
(`union`, `binary`) work as the branch's `.gitattributes` says.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from octet.git.program import NO_HOOKS, Git, GitFailed
from octet.merge.model import (
    Conflict,
    Strategy,
    Unusable,
    Work,
    merge_message,
    replayed_message,
    rollup_message,
    squash_message,
)

NAME = "Octet"
EMAIL = "octet@octet.invalid"
_PLAIN = (
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
class Tip:
    """Where a branch is."""

    commit: str
    tree: str


@dataclass(frozen=True)
class Submitted:
    """A work and the full name of its commit."""

    work: Work
    commit: str


@dataclass(frozen=True)
class Step:
    """A work in a chain, and the commit that brings it in."""

    submitted: Submitted
    commit: str


@dataclass(frozen=True)
class Chain:
    """Works combined one after another on `onto`.

    `combined` is the one commit that takes the branch to where all `steps` are; `onto` where there
    are none. `empty` add nothing to `onto`. `later` conflict with a step and not with `onto`, or
    add nothing to a step.
    """

    onto: Tip
    combined: Tip
    steps: tuple[Step, ...]
    empty: tuple[Work, ...] = ()
    later: tuple[Submitted, ...] = ()
    failed: tuple[Conflict | Unusable, ...] = ()

    @property
    def commits(self) -> tuple[str, ...]:
        return tuple(step.submitted.commit for step in self.steps)


@dataclass(frozen=True)
class Paths:
    """The files of a conflict."""

    paths: tuple[str, ...]


def conflicts_between(git: Git, ours: str, theirs: str) -> tuple[str, ...] | None:
    """The files in which two commits conflict, None when they do not. Attributes are those of the
    checkout `git.directory`.

    Raises:
        GitFailed: one of them is no commit, or they have no history in common.
    """
    merged = merge_trees(git.at(git.directory, *merge_flags(git)), ours, theirs)
    return merged.paths if isinstance(merged, Paths) else None


def merge_flags(git: Git) -> tuple[str, ...]:
    """Options for a git that merges: no setting of the person's takes part."""
    drivers = git.run(
        "config", "-z", "--name-only", "--get-regexp", r"^merge\..*\.driver$"
    ).out.split("\0")
    named = [name for name in drivers if name and "=" not in name]
    return (*_PLAIN, *(word for name in named for word in ("-c", f"{name}={_TEXT_DRIVER}")))


def merge_trees(git: Git, ours: str, theirs: str) -> str | Paths:
    """The tree that a merge of two commits comes to, or where they conflict.

    Raises:
        GitFailed: git cannot merge them.
    """
    ran = git.run("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs)
    if ran.status == _NO_SUCH_OPTION:
        return _merge_by_index(git, ours, theirs)
    if ran.status not in (0, 1) or not ran.out:
        raise GitFailed(f"git cannot merge {theirs}: {ran.complaint}")
    tree, *paths = ran.out.split("\0")
    return Paths(tuple(path for path in paths if path)) if ran.status else tree


def _merge_by_index(git: Git, ours: str, theirs: str) -> str | Paths:
    bases = git.run("merge-base", "--all", ours, theirs).out.split()
    if not bases:
        raise GitFailed(f"git cannot merge {theirs}: refusing to merge unrelated histories")
    with tempfile.TemporaryDirectory(prefix="octet-merge-") as place:
        files = Path(place, "files")
        files.mkdir()
        here = git.having(GIT_WORK_TREE=str(files), GIT_INDEX_FILE=str(Path(place, "index")))
        here.out("read-tree", ours)
        ran = here.run("merge-recursive", *bases, "--", ours, theirs)
        entries = here.out("ls-files", "--unmerged", "-z").split("\0")
        paths = dict.fromkeys(entry.partition("\t")[2] for entry in entries if entry)
        if ran.status == 0:
            return here.out("write-tree")
        if not paths:
            raise GitFailed(f"git cannot merge {theirs}: {ran.complaint}")
        return Paths(tuple(paths))


@dataclass
class Builder:
    """Builds chains on one tip. `git` has the flags of `merge_flags`; its directory decides which
    `.gitattributes` counts.
    """

    git: Git
    onto: Tip
    strategy: Strategy
    _steps: list[Step] = field(default_factory=list)
    _empty: list[Work] = field(default_factory=list)
    _later: list[Submitted] = field(default_factory=list)
    _failed: list[Conflict | Unusable] = field(default_factory=list)

    def chain(self, works: Sequence[Submitted]) -> Chain:
        """All of `works` that can be combined, in order."""
        tip = self.onto
        for submitted in works:
            try:
                tip = self._add(tip, submitted)
            except GitFailed as error:
                self._failed.append(Unusable(submitted.work, str(error)))
        return Chain(
            self.onto,
            self._roll_up(tip),
            tuple(self._steps),
            tuple(self._empty),
            tuple(self._later),
            tuple(self._failed),
        )

    def _add(self, tip: Tip, submitted: Submitted) -> Tip:
        made = _BUILDERS[self.strategy](self.git, tip, submitted)
        if isinstance(made, Paths):
            self._postpone(submitted, made)
        elif made.tree != tip.tree:
            self._steps.append(Step(submitted, made.commit))
            return made
        elif self._steps:
            self._later.append(submitted)
        else:
            self._empty.append(submitted.work)
        return tip

    def _roll_up(self, tip: Tip) -> Tip:
        """For a batch a merge of the whole chain, its first parent where the branch is."""
        if len(self._steps) < 2:
            return tip
        message = rollup_message(
            [(step.submitted.work, step.submitted.commit) for step in self._steps]
        )
        return Tip(
            write_commit(self.git, tip.tree, (self.onto.commit, tip.commit), message), tip.tree
        )

    def _postpone(self, submitted: Submitted, found: Paths) -> None:
        """A conflict with an earlier work is no verdict: that may fail its tests. One with the
        branch is.
        """
        own = merge_trees(self.git, self.onto.commit, submitted.commit) if self._steps else found
        if isinstance(own, Paths):
            self._failed.append(Conflict(submitted.work, own.paths, self.onto.commit))
        else:
            self._later.append(submitted)


def write_commit(git: Git, tree: str, parents: Sequence[str], message: str) -> str:
    """Name of a new commit; made as Octet where git knows no name for this person.

    Raises:
        GitFailed: git could not write it.
    """
    text = message.encode("utf-8", "surrogateescape").replace(b"\0", b" ")
    args = (
        "commit-tree",
        *(word for parent in parents for word in ("-p", parent)),
        "-F",
        "-",
        tree,
    )
    try:
        return git.fed(text, *args)
    except GitFailed:
        return _with_identity(git).fed(text, *args)


def _with_identity(git: Git) -> Git:
    name = git.run("config", "user.name").out or NAME
    email = git.run("config", "user.email").out or EMAIL
    return git.at(git.directory, "-c", f"user.name={name}", "-c", f"user.email={email}")


def _merge(git: Git, tip: Tip, submitted: Submitted) -> Tip | Paths:
    tree = merge_trees(git, tip.commit, submitted.commit)
    if isinstance(tree, Paths) or tree == tip.tree:
        return tree if isinstance(tree, Paths) else tip
    message = merge_message(submitted.work, submitted.commit)
    return Tip(write_commit(git, tree, (tip.commit, submitted.commit), message), tree)


def _squash(git: Git, tip: Tip, submitted: Submitted) -> Tip | Paths:
    tree = merge_trees(git, tip.commit, submitted.commit)
    if isinstance(tree, Paths) or tree == tip.tree:
        return tree if isinstance(tree, Paths) else tip
    author = _Original.read(git, submitted.commit).credited(git)
    message = squash_message(submitted.work, submitted.commit)
    return Tip(write_commit(author, tree, (tip.commit,), message), tree)


def _rebase(git: Git, tip: Tip, submitted: Submitted) -> Tip | Paths:
    lines = git.out(
        "rev-list", "--reverse", "--topo-order", "--parents", submitted.commit, f"^{tip.commit}"
    ).splitlines()
    history = [line.split() for line in lines]
    last = tip
    for commit, *parents in history:
        replayed = _replay(git, last, commit, submitted) if len(parents) < 2 else last
        if isinstance(replayed, Paths):
            return replayed
        last = replayed
    if (
        any(len(parents) > 1 for _, *parents in history)
        and merge_trees(git, tip.commit, submitted.commit) != last.tree
    ):
        # A merge is not replayed, and here that would lose what was settled in it.
        raise GitFailed(
            "its history holds merges with changes of their own: rebase it, or land it by "
            "merge or squash"
        )
    return last


def _replay(git: Git, tip: Tip, commit: str, submitted: Submitted) -> Tip | Paths:
    original = _Original.read(git, commit)
    # What the commit changed is merged onto the tip: a commit of the tip's tree whose parent is the
    # replayed one's parent makes git take just that for the base. (`merge-tree --merge-base` is
    # newer.)
    stand_in = write_commit(git, tip.tree, original.parents, "stand-in")
    tree = merge_trees(git, stand_in, commit)
    if isinstance(tree, Paths) or tree == tip.tree:
        return tree if isinstance(tree, Paths) else tip
    message = replayed_message(original.message, submitted.work, submitted.commit)
    return Tip(write_commit(original.credited(git), tree, (tip.commit,), message), tree)


_BUILDERS = {Strategy.MERGE: _merge, Strategy.SQUASH: _squash, Strategy.REBASE: _rebase}


@dataclass(frozen=True)
class _Original:
    """What a commit that is made again keeps. `date` is as git stores it: seconds and time zone."""

    parents: tuple[str, ...]
    name: str
    email: str
    date: str
    encoding: str
    message: str

    @classmethod
    def read(cls, git: Git, commit: str) -> _Original:
        head, _, message = git.out("cat-file", "commit", commit).partition("\n\n")
        fields = [line.partition(" ") for line in head.split("\n")]
        first = {key: value for key, _, value in reversed(fields)}
        name, _, rest = first["author"].partition("<")
        email, _, date = rest.rpartition(">")
        parents = tuple(value for key, _, value in fields if key == "parent")
        return cls(
            parents, name.strip(), email, date.strip(), first.get("encoding", "UTF-8"), message
        )

    def credited(self, git: Git) -> Git:
        encoded = git.at(git.directory, "-c", f"i18n.commitEncoding={self.encoding}")
        return encoded.having(
            GIT_AUTHOR_NAME=self.name or NAME,
            GIT_AUTHOR_EMAIL=self.email,
            GIT_AUTHOR_DATE=f"@{self.date}",
        )
