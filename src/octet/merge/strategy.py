"""One work added to the branch's tip, as a merge, a squash or a rebase; no worktree is touched."""

from __future__ import annotations

from dataclasses import dataclass

from octet.git.program import Git, GitFailed
from octet.merge.commits import (
    OriginalCommit,
    merge_message,
    replayed_message,
    squash_message,
    write_commit,
)
from octet.merge.model import Strategy, Tip, Work
from octet.merge.tree_merge import ConflictingPaths, merge_trees


@dataclass(frozen=True)
class ResolvedWork:
    """A work and the full name of its commit."""

    work: Work
    commit: str


def add_work(
    git: Git, strategy: Strategy, tip: Tip, resolved: ResolvedWork
) -> Tip | ConflictingPaths:
    """The tip with the work in it; `tip` if the work adds nothing. `git` has neutral settings.

    Raises:
        GitFailed: the work cannot be combined with anything.
    """
    if strategy is Strategy.REBASE:
        return _rebase(git, tip, resolved)
    tree = merge_trees(git, tip.commit, resolved.commit)
    if isinstance(tree, ConflictingPaths):
        return tree
    if tree == tip.tree:
        return tip
    if strategy is Strategy.MERGE:
        message = merge_message(resolved.work, resolved.commit)
        return Tip(write_commit(git, tree, (tip.commit, resolved.commit), message), tree)
    author = OriginalCommit.read(git, resolved.commit).as_author(git)
    message = squash_message(resolved.work, resolved.commit)
    return Tip(write_commit(author, tree, (tip.commit,), message), tree)


def _rebase(git: Git, tip: Tip, resolved: ResolvedWork) -> Tip | ConflictingPaths:
    lines = git.out(
        "rev-list", "--reverse", "--topo-order", "--parents", resolved.commit, f"^{tip.commit}"
    ).splitlines()
    history = [line.split() for line in lines]
    last = tip
    for commit, *parents in history:
        replayed = _replay(git, last, commit, resolved) if len(parents) < 2 else last
        if isinstance(replayed, ConflictingPaths):
            return replayed
        last = replayed
    has_merges = any(len(parents) > 1 for _, *parents in history)
    # Merges are not replayed; changes made in one would be lost.
    if has_merges and merge_trees(git, tip.commit, resolved.commit) != last.tree:
        raise GitFailed(
            "its history holds merges with changes of their own: rebase it, or land it by "
            "merge or squash"
        )
    return last


def _replay(git: Git, tip: Tip, commit: str, resolved: ResolvedWork) -> Tip | ConflictingPaths:
    original = OriginalCommit.read(git, commit)
    # Only what the commit changed is to be merged, so git must take the commit's parent as the
    # merge base: the stand-in has the tip's tree and that parent. (`merge-tree --merge-base` is
    # newer.)
    stand_in = write_commit(git, tip.tree, original.parents, "stand-in")
    tree = merge_trees(git, stand_in, commit)
    if isinstance(tree, ConflictingPaths):
        return tree
    if tree == tip.tree:
        return tip
    message = replayed_message(original.message, resolved.work, resolved.commit)
    return Tip(write_commit(original.as_author(git), tree, (tip.commit,), message), tree)
