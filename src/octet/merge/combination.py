"""Works combined into one commit on the branch's tip, to be tested as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from octet.git.program import Git, GitFailed
from octet.merge.commits import rollup_message, write_commit
from octet.merge.model import Conflict, Strategy, Tip, Unusable, Work
from octet.merge.strategy import ResolvedWork, add_work
from octet.merge.tree_merge import ConflictingPaths, merge_trees, with_neutral_settings
from octet.merge.worktree import MergeWorktree


@dataclass(frozen=True)
class CombinationStep:
    """A work in a combination, and the commit that brings it in."""

    resolved: ResolvedWork
    commit: str


@dataclass(frozen=True)
class Combination:
    """Works combined one after another on `onto`."""

    onto: Tip
    combined: Tip  # one commit that takes the branch past all `steps`; `onto` without steps
    steps: tuple[CombinationStep, ...]
    empty: tuple[Work, ...] = ()  # add nothing to `onto`
    # Conflict with an earlier step but not with `onto`, or add nothing to an earlier step.
    postponed: tuple[Work, ...] = ()
    failed: tuple[Conflict | Unusable, ...] = ()

    @property
    def works(self) -> tuple[Work, ...]:
        return tuple(step.resolved.work for step in self.steps)

    @property
    def commits(self) -> tuple[str, ...]:
        """The submitted commits of the steps."""
        return tuple(step.resolved.commit for step in self.steps)


def combine(
    worktree: MergeWorktree, onto: Tip, strategy: Strategy, works: Sequence[ResolvedWork]
) -> Combination:
    """Combine all of `works` that fit, in order."""
    # In a checkout of `onto`, whose `.gitattributes` decides how files are merged.
    git = with_neutral_settings(worktree.check_out(onto.commit))
    return _Combiner(git, onto, strategy).combine(works)


@dataclass
class _Combiner:
    git: Git
    onto: Tip
    strategy: Strategy
    _steps: list[CombinationStep] = field(default_factory=list)
    _empty: list[Work] = field(default_factory=list)
    _postponed: list[Work] = field(default_factory=list)
    _failed: list[Conflict | Unusable] = field(default_factory=list)

    def combine(self, works: Sequence[ResolvedWork]) -> Combination:
        tip = self.onto
        for resolved in works:
            try:
                tip = self._add(tip, resolved)
            except GitFailed as error:
                self._failed.append(Unusable(resolved.work, str(error)))
        return Combination(
            self.onto,
            self._roll_up(tip),
            tuple(self._steps),
            tuple(self._empty),
            tuple(self._postponed),
            tuple(self._failed),
        )

    def _add(self, tip: Tip, resolved: ResolvedWork) -> Tip:
        added = add_work(self.git, self.strategy, tip, resolved)
        if isinstance(added, ConflictingPaths):
            self._sort_conflict(resolved, added)
        elif added.tree != tip.tree:
            self._steps.append(CombinationStep(resolved, added.commit))
            return added
        elif self._steps:
            self._postponed.append(resolved.work)
        else:
            self._empty.append(resolved.work)
        return tip

    def _sort_conflict(self, resolved: ResolvedWork, found: ConflictingPaths) -> None:
        """A conflict with the branch is final; one with an earlier work, which may fail, is not."""
        own = merge_trees(self.git, self.onto.commit, resolved.commit) if self._steps else found
        if isinstance(own, ConflictingPaths):
            self._failed.append(Conflict(resolved.work, own.paths, self.onto.commit))
        else:
            self._postponed.append(resolved.work)

    def _roll_up(self, tip: Tip) -> Tip:
        """For a batch, a merge of the whole chain whose first parent is the branch's tip."""
        if len(self._steps) < 2:
            return tip
        message = rollup_message(
            [(step.resolved.work, step.resolved.commit) for step in self._steps]
        )
        parents = (self.onto.commit, tip.commit)
        return Tip(write_commit(self.git, tip.tree, parents, message), tip.tree)
