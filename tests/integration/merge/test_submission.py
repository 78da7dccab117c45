"""What a submitted commit touches, and whether its branch has moved on, in real repositories."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import fakeredis
import pytest

from octet.client.api import Octet
from octet.core.tasks.record import Task
from octet.git.program import REDIRECTIONS, Git
from octet.merge.submission import changed_paths, find_newer_tip, read_change
from octet.project.config import FILE
from octet.project.repository import load_project


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A repository with some files on main, and branch `topic` checked out."""
    for name in REDIRECTIONS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    root = tmp_path / "the shop"
    (root / "src" / "deep").mkdir(parents=True)
    (root / ".claude").mkdir()
    (root / FILE).write_text('project = "p"\n')
    (root / "src" / "old.py").write_text("x\n" * 50)
    git = Git(root)
    git.out("init", "--quiet", "--initial-branch=main")
    git.out("config", "user.name", "Somebody")
    git.out("config", "user.email", "somebody@example.org")
    commit(git, "base")
    git.out("switch", "--quiet", "--create", "topic")
    return git


@pytest.fixture
def octet(git: Git) -> Iterator[Octet]:
    with Octet(
        fakeredis.FakeRedis(server=fakeredis.FakeServer()), "p", load_project(git.directory)
    ) as found:
        yield found


def commit(git: Git, message: str, *flags: str, at: int = 1_700_000_000) -> str:
    git.out("add", "--all")
    git.having(GIT_COMMITTER_DATE=f"{at} +0000").out(
        "commit", "--quiet", "--allow-empty", "-m", message, *flags
    )
    return git.commit("HEAD")


def work(at: str) -> Task:
    return Task("1", "x", "in-review", branch="topic", commit=at)


def test_touched_is_what_differs_from_where_it_began(git: Git, octet: Octet) -> None:
    """A file that moves is touched in both places; what main did since is not; settings of the
    person's and odd names hide nothing.
    """
    (git.directory / "src" / "old.py").rename(git.directory / "src" / "new.py")
    (git.directory / 'odd "name"\nü.py').write_text("x")
    topic = commit(git, "move")
    git.out("switch", "--quiet", "main")
    (git.directory / "elsewhere.py").write_text("x")
    commit(git, "main goes on")
    for key, value in (
        ("diff.relative", "true"),
        ("diff.renames", "copies"),
        ("core.quotePath", "true"),
        ("diff.noprefix", "true"),
    ):
        git.out("config", key, value)
    assert sorted(changed_paths(octet, topic)) == ['odd "name"\nü.py', "src/new.py", "src/old.py"]
    change = read_change(octet, work(topic))
    assert change is not None
    assert change.base == git.commit("main~1")
    assert "src/new.py" in change.stat


def test_bytes_that_are_no_text(git: Git, octet: Octet) -> None:
    """A name that is no UTF-8 is a path like any other."""
    Path(os.fsdecode(os.fsencode(git.directory) + b"/src/caf\xe9.py")).write_text("x")
    assert [os.fsencode(path) for path in changed_paths(octet, commit(git, "café"))] == [
        b"src/caf\xe9.py"
    ]


def test_without_a_common_beginning_everything_is_touched(git: Git, octet: Octet) -> None:
    """A branch that has nothing in common with main is judged as a whole."""
    git.out("switch", "--quiet", "--orphan", "alone")
    (git.directory / "only.py").write_text("x")
    alone = commit(git, "alone")
    assert list(changed_paths(octet, alone)) == ["only.py"]
    change = read_change(octet, work(alone))
    assert change is not None
    assert (change.base, change.command) == ("", f"git show {alone[:12]}")


def test_the_tip_of_a_branch_that_moved(git: Git, octet: Octet) -> None:
    """A later commit and a rewritten one are new."""
    first = commit(git, "first")
    assert find_newer_tip(octet, work(first)) == ""
    second = commit(git, "second", at=1_700_000_001)
    assert find_newer_tip(octet, work(first)) == second
    rewritten = commit(git, "other", "--amend", at=1_700_000_002)
    assert find_newer_tip(octet, work(second)) == rewritten


def test_an_older_copy_is_not_new(git: Git, octet: Octet) -> None:
    """A branch that is behind, or what a rewritten commit was made from, is a copy of before; and
    none here tells nothing.
    """
    first = commit(git, "first")
    second = commit(git, "second", "--amend", at=1_700_000_001)
    git.out("reset", "--quiet", "--hard", first)
    assert find_newer_tip(octet, work(second)) == ""
    git.out("reset", "--quiet", "--hard", "main")
    assert find_newer_tip(octet, work(second)) == ""
    git.out("switch", "--quiet", "main")
    git.out("branch", "--delete", "--force", "topic")
    assert find_newer_tip(octet, work(first)) == ""
    assert find_newer_tip(octet, work("0" * 40)) == ""
    assert read_change(octet, work("0" * 40)) is None
