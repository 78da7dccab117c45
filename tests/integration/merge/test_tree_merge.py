"""Commits merged without a worktree, by this git and by an old one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.support.repositories import assert_in_step, commit, trees, work

from octet.git.program import Git, GitFailed
from octet.merge.landing import land
from octet.merge.model import Conflict, Landed, MergeTarget, Outcome, Strategy, Unusable, Work
from octet.merge.test_command import TestCommand
from octet.merge.tree_merge import conflicts_between

PASSING = TestCommand("true", 30)
WITHOUT_WRITE_TREE = """#!/bin/sh
for word; do test "$word" = merge-tree && {
    echo "usage: git merge-tree <base-tree> <branch1> <branch2>" >&2
    exit 129
}; done
exec REAL "$@"
"""


@pytest.fixture(params=["merge-tree", "old git"])
def any_git(
    git: Git, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Git:
    """This git, and one that is older than `merge-tree --write-tree`."""
    if request.param == "old git":
        program = tmp_path / "bin" / "git"
        program.parent.mkdir()
        program.write_text(WITHOUT_WRITE_TREE.replace("REAL", str(shutil.which("git"))))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return git


def land_one(git: Git, source: str, strategy: Strategy = Strategy.MERGE) -> Outcome:
    works = [Work("t", "do it", git.commit(source))]
    (outcome,) = land(
        git,
        works,
        MergeTarget("main"),
        strategy=strategy,
        test_command=PASSING,
        directory=trees(git),
    )
    return outcome


def test_none(any_git: Git) -> None:
    """Changes in different places, a rename among them, go together."""
    commit(any_git, {"long.txt": "".join(f"{number}\n" for number in range(30))})
    work(
        any_git,
        "one",
        {"one.txt": "1\n", "long.txt": "".join(f"{number}\n" for number in range(31))},
    )
    work(any_git, "two", {"two.txt": "2\n"})
    any_git.at(trees(any_git) / "two").out("mv", "long.txt", "moved.txt")
    commit(any_git.at(trees(any_git) / "two"), {})
    assert conflicts_between(any_git, "octet/one", "octet/two") is None


def test_paths(any_git: Git) -> None:
    """The files are named, whatever their names; no file, index or reference is touched, not
    even in a dirty checkout.
    """
    work(any_git, "one", {"base.txt": "one\n", "naïve name\n.txt": "one\n", "fine": "1\n"})
    work(any_git, "two", {"base.txt": "two\n", "naïve name\n.txt": "two\n"})
    (any_git.directory / "base.txt").write_text("mine\n")
    before = (
        any_git.out("for-each-ref"),
        any_git.out("status", "--porcelain"),
        any_git.out("worktree", "list"),
    )
    assert conflicts_between(any_git, "octet/one", "octet/two") == (
        "base.txt",
        "naïve name\n.txt",
    )
    assert (
        any_git.out("for-each-ref"),
        any_git.out("status", "--porcelain"),
        any_git.out("worktree", "list"),
    ) == before


def test_what_cannot_be_merged(any_git: Git) -> None:
    """A commit that is none, and one with no history in common, are errors."""
    alien = any_git.out("commit-tree", "main^{tree}", "-m", "alien")
    for theirs in ("nothing", alien):
        with pytest.raises(GitFailed):
            conflicts_between(any_git, "main", theirs)
    outcome = land_one(any_git, alien)
    assert isinstance(outcome, Unusable)
    assert "unrelated histories" in outcome.why


@pytest.mark.parametrize("strategy", list(Strategy))
def test_landing(any_git: Git, strategy: Strategy) -> None:
    """Each strategy lands and finds conflicts with either."""
    work(any_git, "one", {"base.txt": "one\n", "deep/er/one.txt": "1\n"})
    work(any_git, "two", {"base.txt": "two\n"})
    commit(any_git, {"else.txt": "x\n"})
    assert isinstance(land_one(any_git, "octet/one", strategy), Landed)
    outcome = land_one(any_git, "octet/two", strategy)
    assert isinstance(outcome, Conflict)
    assert outcome.paths == ("base.txt",)
    assert any_git.out("ls-tree", "-r", "--name-only", "main").split() == [
        "base.txt",
        "deep/er/one.txt",
        "else.txt",
    ]
    assert_in_step(any_git)


def test_attributes_of_the_branch(any_git: Git) -> None:
    """`merge=union` of the branch's `.gitattributes` holds, and what a checkout has of its own
    does not.
    """
    commit(any_git, {".gitattributes": "*.log merge=union\n", "a.log": "0\n"})
    work(any_git, "one", {"a.log": "0\n1\n"})
    work(any_git, "two", {"a.log": "0\n2\n"})
    any_git.out("checkout", "--quiet", "-b", "elsewhere")
    commit(any_git, {".gitattributes": "* -merge\n"})
    assert isinstance(land_one(any_git, "octet/one"), Landed)
    assert isinstance(land_one(any_git, "octet/two"), Landed)
    assert sorted(any_git.out("show", "main:a.log").split()) == ["0", "1", "2"]
