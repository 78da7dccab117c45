"""Works combined in a real repository: what becomes a step, and what of the others."""

from __future__ import annotations

import pytest
from tests.support.repositories import commit, trees, work

from octet.git.program import Git
from octet.merge.branch import ProtectedBranch
from octet.merge.combination import Combination, combine
from octet.merge.model import Conflict, MergeTarget, Strategy, Unusable, Work
from octet.merge.strategy import ResolvedWork
from octet.merge.worktree import free_test_worktree


def combine_all(git: Git, strategy: Strategy, *tasks: str) -> Combination:
    works = [
        ResolvedWork(Work(task, f"do {task}", commit), commit)
        for task in tasks
        for commit in [git.commit(f"octet/{task}")]
    ]
    tip = ProtectedBranch(git, MergeTarget("main")).read_tip()
    with free_test_worktree(git, git.common_dir(), trees(git)) as worktree:
        return combine(worktree, tip, strategy, works)


def tasks_of(works: tuple[Work, ...]) -> list[str]:
    return [work.task for work in works]


@pytest.mark.parametrize("strategy", list(Strategy))
def test_each_work_is_sorted(git: Git, strategy: Strategy) -> None:
    """Steps in order; a conflict with the branch and alien work fail; what conflicts only with a
    step, or adds nothing to one, is postponed; what adds nothing to the branch is empty.
    """
    work(git, "first", {"new.txt": "first\n"})
    work(git, "empty", {"same.txt": "x\n"})
    work(git, "clash", {"base.txt": "clash\n"})
    work(git, "later", {"new.txt": "later\n"})
    work(git, "again", {"new.txt": "first\n"})
    work(git, "last", {"last.txt": "x\n"})
    alien = git.out("commit-tree", "octet/first^{tree}", "-m", "alien")
    git.out("branch", "octet/alien", alien)
    commit(git, {"base.txt": "moved on\n", "same.txt": "x\n"})
    names = ("empty", "first", "clash", "later", "again", "last")
    found = combine_all(git, strategy, *names)
    assert tasks_of(found.works) == ["first", "last"]
    assert found.commits == (git.commit("octet/first"), git.commit("octet/last"))
    assert tasks_of(found.empty) == ["empty"]
    assert tasks_of(found.postponed) == ["later", "again"]
    tip = git.commit("main")
    conflict = Work("clash", "do clash", git.commit("octet/clash"))
    assert found.failed == (Conflict(conflict, ("base.txt",), tip),)
    assert git.out("show", f"{found.combined.commit}:new.txt") == "first"
    assert git.out("rev-parse", f"{found.combined.commit}^") == tip
    if strategy is not Strategy.REBASE:
        (failed,) = combine_all(git, strategy, "alien").failed
        assert isinstance(failed, Unusable)
        assert "unrelated histories" in failed.why


def test_nothing_to_combine(git: Git) -> None:
    """Without steps the combination is the branch's tip."""
    found = combine_all(git, Strategy.MERGE)
    assert (found.combined, found.steps) == (found.onto, ())
