"""A protected branch in real repositories: its tips, works' commits, and what has landed."""

from __future__ import annotations

import pytest
from tests.support.repositories import commit, work

from octet.git.program import Git
from octet.merge.branch import ProtectedBranch
from octet.merge.commits import merge_message
from octet.merge.model import CannotMerge, MergeTarget, Unusable, Work
from octet.merge.strategy import ResolvedWork


def test_the_remote_has_the_authoritative_tip(git: Git, other: Git) -> None:
    """Before `fetch` the last known one counts; a branch that does not exist is said so."""
    branch = ProtectedBranch(git, MergeTarget("main", "origin"))
    branch.fetch()
    old = git.commit("main")
    new = commit(other, {"theirs.txt": "x\n"})
    other.out("push", "--quiet", "origin", "main")
    assert branch.read_tip().commit == old
    branch.fetch()
    tip, local = branch.read_tips()
    assert local is not None
    assert (tip.commit, local.commit) == (new, old)
    assert tip.tree == other.out("rev-parse", "main^{tree}")
    with pytest.raises(CannotMerge, match="there is no branch trunk"):
        ProtectedBranch(git, MergeTarget("trunk")).read_tip()


@pytest.mark.parametrize("name", ["", "octet/none", "a b", "a\0b", "x" * 40])
def test_a_commit_that_does_not_exist(git: Git, name: str) -> None:
    """It is unusable alone; the others are resolved to full names."""
    submitted = work(git, "t", {"t.txt": "t\n"})
    works = [Work("none", "", name), Work("t", "", "octet/t")]
    lost, found = ProtectedBranch(git, MergeTarget("main")).resolve(works)
    assert isinstance(lost, Unusable)
    assert found == ResolvedWork(works[1], submitted)


def test_what_has_landed(git: Git) -> None:
    """A merged commit is found in the history with its merge, a squashed one by its trailer."""
    merged, squashed, waiting = (work(git, name, {name: "x\n"}) for name in "msw")
    one = Work("m", "", merged)
    git.out("merge", "--quiet", "--no-ff", "-m", merge_message(one, merged), "octet/m")
    by_merge = git.commit("main")
    by_squash = commit(git, {"s": "x\n"}, f"s\n\nOctet-Task: s\nOctet-Commit: {squashed}")
    branch = ProtectedBranch(git, MergeTarget("main"))
    tip = branch.read_tip()
    assert branch.find_unmerged([merged, squashed, waiting], tip) == {squashed, waiting}
    assert branch.find_landing(merged, tip, merged=True) == by_merge
    assert branch.find_landing(squashed, tip, merged=False) == by_squash
    assert branch.find_landing(waiting, tip, merged=False) == ""
