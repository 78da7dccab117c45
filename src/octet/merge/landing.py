"""Works landed on a protected branch: combined and tested in a worktree of their own, then the
branch moves by compare-and-swap.

    for outcome in land(
        git, works, MergeTarget("main", "origin"), strategy=Strategy.MERGE,
        test_command=test_command, directory=directory,
    ):
        ...      # record it: it is final, and work on the next has not begun

Nothing moves before the combined tree has passed, and the branch moves from one tested commit to
the next. A batch is combined in a chain and tested once, at its end. So its first-parent line gets
one commit for the batch, a merge of the branch's old tip and the chain; each work's own merge lies
behind that, and can be reverted alone. A batch that fails is halved. Squash and rebase have no side
line for untested commits, so each work is tested alone.

Where there is a remote, its branch is authoritative and the push decides; the local branch follows.
A kill at any instant leaves the branch at its old or its new commit, and the next landing goes on
from there: works whose commits, or whose `Octet-Commit` trailer, are in the branch have landed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from octet.git.program import BUSY, Git, GitFailed
from octet.git.remote import is_contended
from octet.git.worktrees import list_worktrees
from octet.merge.branch import ProtectedBranch
from octet.merge.branch_move import CheckedOutBranch, check_can_follow, find_checkout, move_branch
from octet.merge.combination import Combination, combine
from octet.merge.model import (
    CannotMerge,
    Evidence,
    Landed,
    MergeBlocked,
    MergeTarget,
    Outcome,
    Strategy,
    TestsFailed,
    Tip,
    Unusable,
    Work,
)
from octet.merge.move_record import STILL_RUNNING
from octet.merge.recovery import recover_move
from octet.merge.strategy import ResolvedWork
from octet.merge.test_command import TestCommand
from octet.merge.worktree import MergeWorktree, merge_worktree

MAX_ROUNDS = 5
BUSY_LIMIT_S = 5.0
_BUSY_PAUSE_S = 0.05


def no_fence() -> None:
    """For a landing that needs no lock."""


def land(
    git: Git,
    works: Sequence[Work],
    target: MergeTarget,
    *,
    strategy: Strategy,
    test_command: TestCommand | None,
    directory: Path,
    fence: Callable[[], None] = no_fence,
) -> Iterator[Outcome]:
    """Land `works` in this order, as many as possible; one landing at a time on this machine.

    Each outcome is given as soon as it is final; MergeBlocked comes last. The repository's commit
    and merge hooks do not run on the combination; its reference-transaction hook does.

    Args:
        test_command: None only if a person has said that these need no tests.
        directory: where the merge worktree is made; it is removed at the end.
        fence: called when the branch is about to move; an exception ends the landing, and nothing
            has moved.

    Raises:
        GitFailed: git is missing, or the directory is in no repository.
    """
    common = git.common_dir()
    with merge_worktree(git, common, directory.resolve()) as worktree:
        if worktree is None:
            yield MergeBlocked("another merge is running in this repository: wait for it")
            return
        branch = ProtectedBranch(git, target)
        landing = _Landing(common, branch, strategy, test_command, worktree, fence)
        yield from landing.outcomes(works)


@dataclass(frozen=True)
class _Batch:
    """Works that are combined and tested together; `rounds` counts the failed rounds so far."""

    works: Sequence[Work]
    rounds: int = 0


@dataclass(frozen=True)
class _Start:
    """How things are at the start of a round. `local` is this repository's own branch, "" if it has
    none of that name.
    """

    tip: Tip
    local: str
    place: CheckedOutBranch


@dataclass
class _Landing:
    common: Path
    branch: ProtectedBranch
    strategy: Strategy
    test_command: TestCommand | None
    worktree: MergeWorktree
    fence: Callable[[], None]
    _batches: deque[_Batch] = field(default_factory=deque)

    def outcomes(self, works: Sequence[Work]) -> Iterator[Outcome]:
        """All steps in order, a round for each batch; a batch without outcomes comes up again."""
        together = self.strategy is Strategy.MERGE
        self._batches.extend(map(_Batch, [works] if together else [[work] for work in works]))
        try:
            while self._batches:
                batch = self._next_batch()
                start = self._start_round()
                settled, remaining = self._sort_out(batch.works, start.tip)
                yield from settled
                if not remaining:
                    continue
                combination = combine(self.worktree, start.tip, self.strategy, remaining)
                yield from self._settle_unfit(combination)
                if combination.steps:
                    yield from self._test_and_move(start, combination, batch.rounds)
        except (CannotMerge, GitFailed) as error:
            yield MergeBlocked(str(error))

    def _next_batch(self) -> _Batch:
        batch = self._batches.popleft()
        if batch.rounds == MAX_ROUNDS:
            raise CannotMerge(
                f"others moved {self.branch.target.branch} {MAX_ROUNDS} times while the tests ran: "
                "try again when it is quieter"
            )
        return batch

    def _start_round(self) -> _Start:
        """Recover from a kill, bring this repository to the branch, check that it can move."""
        branch, name = self.branch, self.branch.target.branch
        known = list_worktrees(branch.git)
        # First, because `git fetch` fails while there is half a worktree.
        _require(lambda: self.worktree.clear_leftovers(known))
        _require(lambda: recover_move(branch.git, self.common, known))
        branch.fetch()
        tip, local = branch.read_tips()
        place = find_checkout(branch.git, name, known)
        if local and local != tip:
            if not branch.git.contains(tip.commit, local.commit):
                raise CannotMerge(
                    f"{name} has commits that {branch.target.remote} lacks: push them, or reset it"
                )
            if why := move_branch(
                branch.git, self.common, place, tip.commit, local.commit, no_fence
            ):
                raise CannotMerge(why)
        return _Start(tip, tip.commit if local else "", place)

    def _sort_out(
        self, works: Sequence[Work], tip: Tip
    ) -> tuple[Sequence[Outcome], Sequence[ResolvedWork]]:
        """The outcomes of works that do not exist or have landed already, and the other works."""
        found = self.branch.resolve(works)
        settled: list[Outcome] = [work for work in found if isinstance(work, Unusable)]
        known = [work for work in found if isinstance(work, ResolvedWork)]
        unmerged = self.branch.find_unmerged((work.commit for work in known), tip)
        remaining = []
        for resolved in known:
            merged = resolved.commit not in unmerged
            by = ""
            if merged or self.strategy is not Strategy.MERGE:
                by = self.branch.find_landing(resolved.commit, tip, merged=merged)
            if merged or by:
                settled.append(Landed(resolved.work, by or tip.commit, tip.commit, None))
            else:
                remaining.append(resolved)
        return settled, remaining

    def _settle_unfit(self, combination: Combination) -> Sequence[Outcome]:
        """The outcomes of works that did not become steps; postponed ones get a later round."""
        if combination.postponed:
            self._batches.append(_Batch(combination.postponed))
        tip = combination.onto.commit
        empty = [Landed(work, tip, tip, None) for work in combination.empty]
        return [*combination.failed, *empty]

    def _test_and_move(
        self, start: _Start, combination: Combination, rounds: int
    ) -> Sequence[Outcome]:
        """The outcomes of the combined works; none if they are to be tried again."""
        commit = combination.combined.commit
        if start.local:
            check_can_follow(start.place, start.local, commit)
        evidence = None
        if self.test_command is not None:
            evidence = self.test_command.run_on(self.worktree, combination, combination.commits)
            if not evidence.passed:
                return self._bisect(combination, evidence)
        if not self._move(start, commit):
            self._batches.appendleft(_Batch(combination.works, rounds + 1))
            return []
        return [
            Landed(step.resolved.work, step.commit, commit, evidence) for step in combination.steps
        ]

    def _bisect(self, combination: Combination, evidence: Evidence) -> Sequence[Outcome]:
        works = combination.works
        if len(works) == 1:
            return [TestsFailed(works[0], evidence)]
        middle = len(works) // 2
        self._batches.extendleft([_Batch(works[middle:]), _Batch(works[:middle])])
        return []

    def _move(self, start: _Start, new: str) -> bool:
        """Move the branch to `new`; False if it is no longer where it was when the round began."""
        branch, old = self.branch, start.tip.commit
        place = find_checkout(branch.git, branch.target.branch, list_worktrees(branch.git))
        why = (
            self._push(new, old) if branch.remote else self._move_here(place, new, old, self.fence)
        )
        if why and (now := branch.read_tip().commit) != new:
            if now == old and not is_contended(why):
                raise CannotMerge(why)
            return branch.git.contains(now, new)
        if branch.remote and start.local:
            # The works have landed; a checkout that cannot follow now is brought along by the next
            # landing.
            self._move_here(place, new, start.local, no_fence)
        return True

    def _push(self, new: str, old: str) -> str:
        assert self.branch.remote
        self.fence()
        why = self.branch.remote.push(new, old)
        if why:
            self.branch.fetch()
        return why

    def _move_here(
        self, place: CheckedOutBranch, new: str, old: str, fence: Callable[[], None]
    ) -> str:
        git, ref = self.branch.git, self.branch.local_ref
        return _retry_while_busy(
            lambda: move_branch(git, self.common, place, new, old, fence),
            lambda: git.commit(ref) == old,
        )


def _require(act: Callable[[], str]) -> None:
    if why := _retry_while_busy(act):
        raise CannotMerge(why)


def _retry_while_busy(
    act: Callable[[], str], is_worth_it: Callable[[], bool] = lambda: True
) -> str:
    """Why `act` failed, or "". It is tried again for a while if another git process (an editor's
    `git status`) is in the way.
    """
    deadline = time.monotonic() + BUSY_LIMIT_S
    while True:
        why = act()
        is_busy = why == STILL_RUNNING or any(sign in why.lower() for sign in BUSY)
        if not is_busy or time.monotonic() > deadline or not is_worth_it():
            return why
        time.sleep(_BUSY_PAUSE_S)
