"""Landings where a remote decides: fetched first, pushed by compare-and-swap, the local branch
after it.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from tests.integration.merge.conftest import push_from
from tests.support.repositories import (
    alive,
    assert_in_step,
    commit,
    install_hook,
    name_somebody,
    poll,
    trees,
    work,
)

from octet.git import remote
from octet.git.program import Git
from octet.git.worktrees import list_worktrees
from octet.merge.landing import land
from octet.merge.model import (
    Landed,
    MergeBlocked,
    MergeTarget,
    Outcome,
    Strategy,
    TestsFailed,
    Unusable,
    Work,
)
from octet.merge.test_command import TestCommand

PASSING = TestCommand("true", 30)


def land_one(
    git: Git, source: str, test_command: TestCommand | None = PASSING, *, branch: str = ""
) -> Outcome:
    works = [Work("t", "do it", git.commit(source) or source, branch)]
    (outcome,) = land(
        git,
        works,
        MergeTarget("main", "origin"),
        strategy=Strategy.MERGE,
        test_command=test_command,
        directory=trees(git),
    )
    return outcome


def test_remote_and_local_branch_both_move(git: Git, bare: Git) -> None:
    """The work is in the remote's branch and in the local one, whose checkout follows."""
    submitted = work(git, "t", {"t.txt": "t\n"})
    outcome = land_one(git, submitted)
    assert isinstance(outcome, Landed)
    assert bare.commit("main") == git.commit("main") == git.commit("origin/main") == outcome.tip
    assert_in_step(git)


def test_the_remote_branch_is_where_work_goes(git: Git, bare: Git, other: Git) -> None:
    """What others have pushed comes first; the local branch, which was behind, is brought along."""
    theirs = push_from(other, {"theirs.txt": "x\n"})
    work(git, "t", {"t.txt": "t\n"})
    outcome = land_one(git, "octet/t", TestCommand("test -e theirs.txt", 30))
    assert isinstance(outcome, Landed)
    assert bare.commit("main^1") == theirs
    assert (git.directory / "theirs.txt").exists()
    assert_in_step(git)


def test_nothing_to_land_still_brings_the_local_branch_along(
    git: Git, bare: Git, other: Git
) -> None:
    """After a kill between push and local move, the next landing finds the work landed and the
    checkout follows.
    """
    work(git, "t", {"t.txt": "t\n"})
    git.out("push", "--quiet", "origin", "octet/t")
    other.out("fetch", "--quiet")
    other.out("merge", "--quiet", "--no-ff", "origin/octet/t")
    other.out("push", "--quiet", "origin", "main")
    outcome = land_one(git, "octet/t")
    assert isinstance(outcome, Landed)
    assert outcome.evidence is None
    assert git.commit("main") == bare.commit("main")
    assert_in_step(git)


def test_local_commits_that_the_remote_lacks(git: Git, bare: Git) -> None:
    """They are untested and are not swept along; a person is told what to do."""
    work(git, "t", {"t.txt": "t\n"})
    mine, theirs = commit(git, {"mine.txt": "x\n"}), bare.commit("main")
    outcome = land_one(git, "octet/t")
    assert isinstance(outcome, MergeBlocked)
    assert "push them, or reset" in outcome.why
    assert (git.commit("main"), bare.commit("main")) == (mine, theirs)


def test_a_dirty_checkout_holds_the_push_back(git: Git, bare: Git) -> None:
    """The remote does not move while the local checkout could not follow."""
    work(git, "t", {"t.txt": "t\n"})
    (git.directory / "base.txt").write_text("mine\n")
    tip = bare.commit("main")
    outcome = land_one(git, "octet/t", TestCommand("exit 9", 30))
    assert isinstance(outcome, MergeBlocked)
    assert str(git.directory) in outcome.why
    assert bare.commit("main") == tip


def test_somebody_else_was_faster(git: Git, bare: Git, other: Git) -> None:
    """Their push while our tests run is fetched, and the work is tested again on top of it."""
    work(git, "t", {"t.txt": "t\n"})
    race = (
        f"test -e raced.txt || (cd {shlex.quote(str(other.directory))} && touch raced.txt && git "
        "add . && git commit -qm r && git push -q)"
    )
    outcome = land_one(git, "octet/t", TestCommand(race, 30))
    assert isinstance(outcome, Landed)
    assert bare.out("ls-tree", "--name-only", "main").split() == ["base.txt", "raced.txt", "t.txt"]
    assert outcome.evidence is not None
    assert outcome.evidence.onto == other.commit("main") == bare.commit("main^1")
    assert_in_step(git)


def test_a_push_that_arrived_though_its_answer_was_lost(
    git: Git, bare: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line went down after the remote had moved: what counts is where the remote is."""
    submitted = work(git, "t", {"t.txt": "t\n"})
    push = remote.Remote.push

    def push_and_lose_the_answer(self: remote.Remote, new: str, old: str) -> str:
        return push(self, new, old) or "the remote end hung up unexpectedly"

    monkeypatch.setattr(remote.Remote, "push", push_and_lose_the_answer)
    outcome = land_one(git, submitted)
    assert isinstance(outcome, Landed)
    assert bare.commit("main") == git.commit("main") == outcome.tip


@pytest.mark.parametrize("hook", ["pre-receive", "update"])
def test_a_remote_that_refuses(git: Git, bare: Git, hook: str) -> None:
    """Its reason comes back, nothing moved, and it is not asked again."""
    work(git, "t", {"t.txt": "t\n"})
    asked = bare.directory / "asked"
    install_hook(
        bare, hook, f"echo x >> {shlex.quote(str(asked))}; echo only on Tuesdays >&2; exit 1"
    )
    tip = git.commit("main")
    outcome = land_one(git, "octet/t")
    assert isinstance(outcome, MergeBlocked)
    assert "only on Tuesdays" in outcome.why
    assert (git.commit("main"), bare.commit("main"), asked.read_text()) == (tip, tip, "x\n")
    assert_in_step(git)


def test_a_remote_that_is_gone(git: Git, bare: Git) -> None:
    """One line says which and why, without a prompt."""
    work(git, "t", {"t.txt": "t\n"})
    bare.directory.rename(bare.directory.with_name("moved.git"))
    outcome = land_one(git, "octet/t")
    assert isinstance(outcome, MergeBlocked)
    assert "origin" in outcome.why
    assert "\n" not in outcome.why


def test_a_branch_that_the_remote_lacks(git: Git, bare: Git) -> None:
    """The branch that is to be protected has to be there first."""
    work(git, "t", {"t.txt": "t\n"})
    git.out("push", "--quiet", "origin", "main:kept")
    bare.out("symbolic-ref", "HEAD", "refs/heads/kept")
    bare.out("update-ref", "-d", "refs/heads/main")
    assert isinstance(land_one(git, "octet/t"), MergeBlocked)


@pytest.mark.parametrize("how", ["ssh", "core"])
@pytest.mark.usefixtures("bare")
def test_a_network_that_hangs(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A connection that never answers ends in time, with every process of it."""
    program = tmp_path / "ssh"
    pids, args = (shlex.quote(str(tmp_path / name)) for name in ("pids", "args"))
    program.write_text(
        f"#!/bin/sh\necho $$ >> {pids}\nprintf '%s\\n' \"$@\" > {args}\nexec sleep 300\n"
    )
    program.chmod(0o755)
    work(git, "t", {"t.txt": "t\n"})
    git.out("remote", "set-url", "origin", "ssh://nowhere.invalid/x.git")
    if how == "ssh":
        monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    else:
        git.out("config", "core.sshCommand", str(program))
    monkeypatch.setattr(remote, "LIMIT_S", 2.0)
    outcome = land_one(git, "octet/t")
    assert isinstance(outcome, MergeBlocked)
    assert "no answer within 2 s" in outcome.why
    assert "BatchMode=yes" in (tmp_path / "args").read_text()
    started = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    poll(lambda: not any(alive(pid) for pid in started))


def test_a_commit_that_is_only_on_the_remote(git: Git, other: Git) -> None:
    """Work that another machine pushed is fetched by its branch's name."""
    other.out("checkout", "--quiet", "-b", "octet/far")
    submitted = commit(other, {"far.txt": "x\n"})
    other.out("push", "--quiet", "origin", "octet/far")
    assert isinstance(land_one(git, submitted, branch="octet/far"), Landed)
    assert (git.directory / "far.txt").exists()


def test_a_commit_that_cannot_be_asked_for_now(
    git: Git, bare: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that goes down is no verdict on the work."""
    monkeypatch.setattr(
        remote.Remote, "fetch_branch", lambda _self, _branch: "origin: Could not resolve host"
    )
    outcome = land_one(git, "1" * 40, branch="octet/far")
    assert outcome == MergeBlocked("origin: Could not resolve host")
    assert bare.commit("main") == git.commit("main")


@pytest.mark.parametrize(
    "branch", ["", "octet/none", "main:refs/heads/victim", "--upload-pack=touch x", "*"]
)
@pytest.mark.usefixtures("bare")
def test_a_commit_that_is_nowhere(git: Git, branch: str) -> None:
    """It is refused alone, whatever its branch is called, and no other branch appears."""
    submitted = work(git, "t", {"t.txt": "t\n"})
    works = [Work("lost", "lost", "1" * 40, branch), Work("t", "t", submitted)]
    lost, landed = land(
        git,
        works,
        MergeTarget("main", "origin"),
        strategy=Strategy.MERGE,
        test_command=None,
        directory=trees(git),
    )
    assert isinstance(lost, Unusable)
    assert isinstance(landed, Landed)
    assert git.out("for-each-ref", "--format=%(refname:short)", "refs/heads").split() == [
        "main",
        "octet/t",
    ]


def test_a_clone_without_the_branch(bare: Git, git: Git, tmp_path: Path) -> None:
    """A machine that only merges needs no local branch, and gets none."""
    work(git, "t", {"t.txt": "t\n"})
    git.out("push", "--quiet", "origin", "octet/t")
    mirror = Git(tmp_path / "mirror.git")
    bare.out("clone", "--quiet", "--bare", str(bare.directory), str(mirror.directory))
    name_somebody(mirror)
    mirror.out("update-ref", "-d", "refs/heads/main")
    assert isinstance(land_one(mirror, "octet/t"), Landed)
    assert bare.contains("main", "octet/t")
    assert mirror.commit("refs/heads/main") == ""


def test_the_fence_is_asked_before_the_push(git: Git, bare: Git) -> None:
    """What it raises ends the landing, and nothing has moved or is left."""
    submitted, tip = work(git, "t", {"t.txt": "t\n"}), git.commit("main")

    def refuse() -> None:
        raise PermissionError("stale token")

    works = [Work("t", "t", submitted)]
    with pytest.raises(PermissionError):
        list(
            land(
                git,
                works,
                MergeTarget("main", "origin"),
                strategy=Strategy.MERGE,
                test_command=PASSING,
                directory=trees(git),
                fence=refuse,
            )
        )
    assert git.commit("main") == bare.commit("main") == tip
    assert len(list_worktrees(git)) == 2


def test_a_failure_moves_nothing_anywhere(git: Git, bare: Git) -> None:
    """Work whose combination fails its tests is not pushed."""
    work(git, "t", {"t.txt": "t\n"})
    tip = bare.commit("main")
    assert isinstance(land_one(git, "octet/t", TestCommand("false", 30)), TestsFailed)
    assert bare.commit("main") == tip


def test_hooks_and_settings_of_the_person(git: Git, bare: Git) -> None:
    """A pre-push hook that fails and settings that would push more have no say."""
    work(git, "t", {"t.txt": "t\n"})
    install_hook(git, "pre-push", "exit 1")
    git.out("config", "push.followTags", "true")
    git.out("config", "push.gpgSign", "if-asked")
    git.out("tag", "-a", "-m", "mine", "mine", "octet/t")
    assert isinstance(land_one(git, "octet/t"), Landed)
    assert bare.out("tag") == ""
