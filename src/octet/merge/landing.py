"""Works landed on a protected branch: combined and tested in a worktree of their own, then the
branch is moved by compare-and-swap.

    for outcome in land(git, works, Target("main", "origin"), strategy=Strategy.MERGE, suite=suite,
        scratch=directory): ...                          # record it: it is final, and the next is
        not begun

Nothing moves before the combined tree has passed, and the branch moves from one tested commit to
the next. A batch is combined in a chain and tested once, at its end, so the branch gets one commit
of it on its first-parent line, a merge with the branch's old tip and the chain for parents; each
work's own merge lies behind that, and can be reverted alone. A batch that fails is halved. Squash
and rebase have no side line where untested commits could lie; there each work goes alone.

Where there is a remote, its branch is the truth and the push decides; the local branch follows. A
kill at any instant leaves the branch where it was or where it was to go, and the next landing takes
up from there: what is in the branch, by its commits or by the `Octet-Commit` trailer, has landed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from octet.git.program import BUSY, Git, GitFailed
from octet.git.remote import is_crowded
from octet.git.worktrees import MERGE_WORKTREE, TEST_WORKTREE_PREFIX, list_worktrees
from octet.merge.branch import Branch, Hold
from octet.merge.branch_move import Place, find_place, find_untracked, mend, move
from octet.merge.combination import Builder, Chain, Submitted, Tip, merge_flags
from octet.merge.model import (
    Conflict,
    Landed,
    Outcome,
    Strategy,
    Target,
    TestsFailed,
    Unusable,
    Waiting,
    Work,
)
from octet.merge.recovery import STILL_AT_WORK
from octet.merge.test_command import Evidence, Suite
from octet.merge.worktree import Scratch

ROUNDS = 5
TRIALS = 32
BUSY_LIMIT_S = 5.0
_BUSY_PAUSE_S = 0.05


def no_fence() -> None:
    """A landing that nobody else can make."""


def land(
    git: Git,
    works: Sequence[Work],
    target: Target,
    *,
    strategy: Strategy,
    suite: Suite | None,
    scratch: Path,
    fence: Callable[[], None] = no_fence,
) -> Iterator[Outcome]:
    """Land `works` in this order as far as they go; one landing at a time on this machine.

    An outcome is given when it is final, and Waiting at the very end. The repository's commit and
    merge hooks do not run on the combination; its reference-transaction hook does.

    Args:
        suite: None only where a person has said that these need no tests.
        scratch: directory where the combining worktree is made; removed again at the end.
        fence: called when the branch is about to move; what it raises ends the landing, and nothing
            has moved.

    Raises:
        GitFailed: git is missing, or the directory is in no repository.
    """
    common = git.common_dir()
    with _only_one(common, MERGE_WORKTREE) as alone:
        if not alone:
            yield Waiting("another merge is running in this repository: wait for it")
            return
        with Scratch(git, common, scratch.resolve() / MERGE_WORKTREE) as room:
            yield from _Landing(common, Branch(git, target), strategy, suite, room, fence).run(
                works
            )


def try_out(
    git: Git, work: Work, target: Target, *, strategy: Strategy, suite: Suite, scratch: Path
) -> Evidence | Conflict | Unusable | Waiting:
    """Combine a work with the branch as it is and run the tests on that; nothing moves. Several at
    once are no matter.

    Raises:
        GitFailed: git is missing, or the directory is in no repository.
    """
    common, branch = git.common_dir(), Branch(git, target)
    try:
        branch.fetch()
        tip = branch.tip(branch.refs(branch.truth))
        found = branch.find([work])[0]
        if isinstance(found, Unusable):
            return found
        with _trial(git, common, scratch.resolve()) as room:
            chain = _combine(room, git, tip, strategy, [found])
            return (
                chain.failed[0]
                if chain.failed
                else _test(suite, room, chain.combined, (found.commit,), tip)
            )
    except (Hold, GitFailed) as error:
        return Waiting(str(error))


@dataclass(frozen=True)
class _State:
    """How things are at the beginning of a round. `local` is "" where this repository has no such
    branch.
    """

    tip: Tip
    local: str
    place: Place


@dataclass
class _Landing:
    common: Path
    branch: Branch
    strategy: Strategy
    suite: Suite | None
    room: Scratch
    fence: Callable[[], None]
    _groups: deque[Sequence[Work]] = field(default_factory=deque)

    def run(self, works: Sequence[Work]) -> Iterator[Outcome]:
        try:
            self._groups.extend(
                [works] if self.strategy is Strategy.MERGE else [[work] for work in works]
            )
            while self._groups:
                yield from self._rounds(self._groups.popleft())
        except (Hold, GitFailed) as error:
            yield Waiting(str(error))

    def _rounds(self, group: Sequence[Work]) -> Iterator[Outcome]:
        """A group's end: landed, refused, or halved and put back."""
        for _ in range(ROUNDS):
            state = self._begin()
            open_works = yield from self._sift(group, state.tip)
            if not open_works:
                return
            chain = _combine(self.room, self.branch.git, state.tip, self.strategy, open_works)
            yield from chain.failed
            yield from (
                Landed(work, state.tip.commit, state.tip.commit, None) for work in chain.empty
            )
            if chain.later:
                self._groups.append([submitted.work for submitted in chain.later])
            if not chain.steps or (yield from self._try(state, chain)):
                return
            group = [step.submitted.work for step in chain.steps]
        raise Hold(
            f"others moved {self.branch.target.branch} {ROUNDS} times while the tests ran: "
            "try again when it is quieter"
        )

    def _begin(self) -> _State:
        """Bring everything to where the branch is, and see that it can move."""
        branch, name = self.branch, self.branch.target.branch
        known = list_worktrees(branch.git)
        # First: while there is half a worktree, `git fetch` fails.
        if why := _patiently(lambda: self.room.clear(known)):
            raise Hold(why)
        if why := _patiently(lambda: mend(branch.git, self.common, known)):
            raise Hold(why)
        branch.fetch()
        refs = branch.refs(branch.local, branch.truth)
        tip, local = branch.tip(refs), refs.get(branch.local)
        place = _or_hold(find_place(branch.git, name, known))
        if local and local != tip:
            if not branch.git.contains(tip.commit, local.commit):
                raise Hold(
                    f"{name} has commits that {branch.target.remote} lacks: push them, or reset it"
                )
            if why := move(branch.git, self.common, place, tip.commit, local.commit, no_fence):
                raise Hold(why)
        return _State(tip, tip.commit if local else "", place)

    def _sift(self, group: Sequence[Work], tip: Tip) -> Generator[Outcome, None, list[Submitted]]:
        """Answer for those that are in the branch, and those that are nowhere; the others are
        returned.
        """
        found = self.branch.find(group)
        yield from (work for work in found if isinstance(work, Unusable))
        known = [work for work in found if isinstance(work, Submitted)]
        unmerged = self.branch.unmerged((work.commit for work in known), tip)
        left = []
        for submitted in known:
            there = submitted.commit not in unmerged
            sought = there or self.strategy is not Strategy.MERGE
            by = self.branch.trace(submitted.commit, tip, merged=there) if sought else ""
            if there or by:
                yield Landed(submitted.work, by or tip.commit, tip.commit, None)
            else:
                left.append(submitted)
        return left

    def _try(self, state: _State, chain: Chain) -> Generator[Outcome, None, bool]:
        """Test and move; whether that settles the chain, which it does not where the branch has
        moved meanwhile.
        """
        combined = chain.combined
        if state.local and (why := find_untracked(state.place, state.local, combined.commit)):
            raise Hold(why)
        evidence = None
        if self.suite is not None:
            evidence = _test(self.suite, self.room, combined, chain.commits, state.tip)
            if not evidence.passed:
                yield from self._halve(chain, evidence)
                return True
        if not self._advance(state, combined.commit):
            return False
        yield from (
            Landed(step.submitted.work, step.commit, combined.commit, evidence)
            for step in chain.steps
        )
        return True

    def _halve(self, chain: Chain, evidence: Evidence) -> Iterator[Outcome]:
        works = [step.submitted.work for step in chain.steps]
        if len(works) == 1:
            yield TestsFailed(works[0], evidence)
            return
        middle = len(works) // 2
        self._groups.extendleft([works[middle:], works[:middle]])

    def _advance(self, state: _State, new: str) -> bool:
        """Move the branch to `new`; whether it has, False where it is no longer where it was."""
        branch, name = self.branch, self.branch.target.branch
        place = _or_hold(find_place(branch.git, name, list_worktrees(branch.git)))
        if branch.remote is None:
            why = self._move(place, new, state.tip.commit, self.fence)
        else:
            self.fence()
            why = branch.remote.push(new, state.tip.commit)
            if why:
                branch.fetch()
        if why and (now := branch.tip(branch.refs(branch.truth)).commit) != new:
            if now == state.tip.commit and not is_crowded(why):
                raise Hold(why)
            return branch.git.contains(now, new)
        if branch.remote and state.local:
            # It has landed, whatever becomes of the checkout: where that cannot follow now, the
            # next landing brings it along.
            self._move(place, new, state.local, no_fence)
        return True

    def _move(self, place: Place, new: str, old: str, fence: Callable[[], None]) -> str:
        git, ref = self.branch.git, self.branch.local
        return _patiently(
            lambda: move(git, self.common, place, new, old, fence), lambda: git.commit(ref) == old
        )


def _combine(
    room: Scratch, git: Git, tip: Tip, strategy: Strategy, works: Sequence[Submitted]
) -> Chain:
    tree = room.show(tip.commit)  # its `.gitattributes` is the one that counts
    return Builder(tree.at(tree.directory, *merge_flags(git)), tip, strategy).chain(works)


def _test(
    suite: Suite, room: Scratch, combined: Tip, commits: tuple[str, ...], onto: Tip
) -> Evidence:
    room.show(combined.commit)
    return suite.run(
        room.spoil(),
        commits=commits,
        onto=onto.commit,
        combined=combined.commit,
        tree=combined.tree,
    )


def _patiently(act: Callable[[], str], is_worth_it: Callable[[], bool] = lambda: True) -> str:
    """Why `act` did not do it, or ""; again for a while where another git process (an editor's `git
    status`) is at work.
    """
    deadline = time.monotonic() + BUSY_LIMIT_S
    while True:
        why = act()
        is_busy = why == STILL_AT_WORK or any(sign in why.lower() for sign in BUSY)
        if not is_busy or time.monotonic() > deadline or not is_worth_it():
            return why
        time.sleep(_BUSY_PAUSE_S)


def _or_hold(place: Place | str) -> Place:
    if isinstance(place, str):
        raise Hold(place)
    return place


@contextmanager
def _only_one(common: Path, name: str) -> Iterator[bool]:
    """Whether no other process on this machine is at it."""
    lock = FileLock(common / f"{name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def _trial(git: Git, common: Path, directory: Path) -> Iterator[Scratch]:
    for number in range(1, TRIALS + 1):
        path = directory / f"{TEST_WORKTREE_PREFIX}{number}"
        with _only_one(common, path.name) as alone:
            if not alone:
                continue
            with Scratch(git, common, path) as room:
                if why := room.clear(list_worktrees(git)):
                    raise Hold(why)
                yield room
            return
    raise Hold(f"{TRIALS} test runs are under way in this repository: wait for one to end")
