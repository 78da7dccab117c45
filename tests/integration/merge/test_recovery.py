"""What a killed landing leaves, in each possible state, and that the recovery touches nothing of a
person's.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.repositories import assert_in_step, commit, poll, trees, work

from octet.git.program import Git
from octet.git.worktrees import list_worktrees
from octet.merge import branch_move, landing, move_record
from octet.merge.checkout import LOCK_TEXT
from octet.merge.landing import land
from octet.merge.model import Landed, MergeBlocked, MergeTarget, Outcome, Strategy, Work
from octet.merge.test_command import TestCommand

SOURCES = str(Path(landing.__file__).parents[2])


def land_one(git: Git, source: str) -> Outcome:
    works = [Work("t", "do it", git.commit(source))]
    (outcome,) = land(
        git,
        works,
        MergeTarget("main"),
        strategy=Strategy.MERGE,
        test_command=TestCommand("true", 30),
        directory=trees(git),
    )
    return outcome


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing, "BUSY_LIMIT_S", 0.2)


class Wreck:
    """A repository as a landing that was killed on its way from `old` to `new` leaves it."""

    def __init__(self, git: Git) -> None:
        self.git, self.inside = git, git.directory / ".git"
        commit(git, {"gone.txt": "g\n", "changed.txt": "before\n", "deep/same.txt": "s\n"})
        self.old = git.commit("main")
        work(
            git,
            "wreck",
            {"changed.txt": "after\nmore\n", "new/er/added.txt": "added\n", "other.txt": "other\n"},
        )
        tree = git.at(trees(git) / "wreck")
        (tree.directory / "gone.txt").unlink()
        commit(tree, {})
        self.new = git.commit("octet/wreck")
        record = {"branch": "main", "old": self.old, "new": self.new}
        (self.inside / move_record.RECORD).write_text(json.dumps(record))
        work(git, "t", {"t.txt": "t\n"})

    def files_ahead(self) -> None:
        """All files, and not the index."""
        index = (self.inside / "index").read_bytes()
        self.git.out("read-tree", "-m", "-u", self.old, self.new)
        (self.inside / "index").write_bytes(index)

    def check(self) -> None:
        assert isinstance(land_one(self.git, "octet/t"), Landed)
        assert self.git.commit("main^1") == self.old
        assert self.git.out("status", "--porcelain") == ""
        assert not (self.git.directory / "new").exists()
        assert not (self.inside / move_record.RECORD).exists()
        assert_in_step(self.git)


@pytest.fixture
def wreck(git: Git) -> Wreck:
    return Wreck(git)


def test_nothing_had_happened_yet(wreck: Wreck) -> None:
    """The record alone does no harm."""
    wreck.check()


def test_files_and_index_ahead(wreck: Wreck) -> None:
    """Both go back to the branch."""
    wreck.git.out("read-tree", "-m", "-u", wreck.old, wreck.new)
    wreck.check()


def test_files_ahead_of_their_index(wreck: Wreck) -> None:
    """Changed, added and removed files go back, and directories that they brought go."""
    wreck.files_ahead()
    wreck.check()


def test_files_half_way(wreck: Wreck) -> None:
    """Some written, one begun, one unlinked and not written yet."""
    (wreck.git.directory / "changed.txt").write_text("aft")
    (wreck.git.directory / "gone.txt").unlink()
    (wreck.git.directory / "new" / "er").mkdir(parents=True)
    (wreck.git.directory / "new" / "er" / "added.txt").write_text("add")
    wreck.check()


def test_a_branch_that_had_moved(git: Git) -> None:
    """Killed between the branch's move and its report: the checkout is brought to the branch."""
    wreck = Wreck(git)
    git.out("update-ref", "refs/heads/main", wreck.new)
    assert isinstance(land_one(git, "octet/t"), Landed)
    assert git.commit("main^1") == wreck.new
    assert (git.directory / "new" / "er" / "added.txt").exists()
    assert_in_step(git)


def test_what_a_person_changed_meanwhile_stays(wreck: Wreck) -> None:
    """A file that is neither as before nor as after is theirs, and the landing waits for them."""
    wreck.files_ahead()
    (wreck.git.directory / "changed.txt").write_text("a person's\n")
    (wreck.git.directory / "untracked.txt").write_text("a person's\n")
    outcome = land_one(wreck.git, "octet/t")
    assert isinstance(outcome, MergeBlocked)
    assert "uncommitted" in outcome.why
    assert wreck.git.out("status", "--porcelain").split() == [
        "M",
        "changed.txt",
        "??",
        "untracked.txt",
    ]
    assert (wreck.git.directory / "changed.txt").read_text() == "a person's\n"


def test_locks_that_died_with_it(wreck: Wreck) -> None:
    """Those of the branch, its checkout's HEAD and its index are removed: none of the landing's
    processes lives.
    """
    (wreck.inside / "index.lock").write_text(LOCK_TEXT)
    (wreck.inside / "refs" / "heads" / "main.lock").write_text(f"{wreck.new}\n")
    for name in ("HEAD.lock", "octet-index.lock", "octet-index"):
        (wreck.inside / name).touch()
    os.utime(wreck.inside / "HEAD.lock", (1, 1))
    wreck.check()


@pytest.mark.usefixtures("short_patience")
@pytest.mark.parametrize("name", ["index.lock", "refs/heads/main.lock", "HEAD.lock"])
def test_a_lock_of_somebody_else_stays(wreck: Wreck, name: str) -> None:
    """A lock of git or a person is named, waited for and never removed; the work lands when
    it is gone.
    """
    lock = wreck.inside / name
    lock.write_text("another")
    outcome = land_one(wreck.git, "octet/t")
    assert isinstance(outcome, MergeBlocked)
    assert lock.name in outcome.why
    assert lock.read_text() == "another"
    assert wreck.git.commit("main") == wreck.old
    lock.unlink()
    wreck.check()


@pytest.mark.usefixtures("short_patience")
def test_a_git_that_outlived_its_landing(wreck: Wreck) -> None:
    """While one of the killed landing's git commands runs, nothing is recovered under it."""
    wreck.files_ahead()
    with open(wreck.inside / move_record.RECORD) as record:
        fcntl.flock(record, fcntl.LOCK_EX)
        outcome = land_one(wreck.git, "octet/t")
        assert isinstance(outcome, MergeBlocked)
        assert "still at work" in outcome.why
        assert (wreck.git.directory / "new").exists()
    wreck.check()


@pytest.mark.usefixtures("short_patience")
def test_a_git_that_still_fills_the_worktree_of_its_landing(git: Git) -> None:
    """A killed landing's `git worktree add` would write into the worktree in which the next one
    tests.
    """
    work(git, "t", {"t.txt": "t\n"})
    with open(git.directory / ".git" / "octet-merge.busy", "w") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        outcome = land_one(git, "octet/t")
        assert isinstance(outcome, MergeBlocked)
        assert "still at work" in outcome.why
    assert isinstance(land_one(git, "octet/t"), Landed)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"branch": 1}', '{"x": "y"}', "\0"])
def test_a_record_that_cannot_be_read(git: Git, text: str) -> None:
    """It is put aside."""
    (git.directory / ".git" / move_record.RECORD).write_text(text)
    work(git, "t", {"t.txt": "t\n"})
    assert isinstance(land_one(git, "octet/t"), Landed)
    assert not (git.directory / ".git" / move_record.RECORD).exists()


def test_a_fence_that_refuses(git: Git) -> None:
    """What it raises goes through; branch, index and files have not moved, and nothing is left."""
    submitted, tip = work(git, "t", {"t.txt": "t\n", "base.txt": "t\n"}), git.commit("main")

    def refuse() -> None:
        assert git.commit("main") == tip
        assert (git.directory / ".git" / "refs" / "heads" / "main.lock").exists()
        raise PermissionError("stale token")

    works = [Work("t", "t", submitted)]
    with pytest.raises(PermissionError, match="stale"):
        list(
            land(
                git,
                works,
                MergeTarget("main"),
                strategy=Strategy.MERGE,
                test_command=None,
                directory=trees(git),
                fence=refuse,
            )
        )
    assert git.commit("main") == tip
    assert (git.directory / "base.txt").read_text() == "base\n"
    assert len(list_worktrees(git)) == 2
    assert [
        path.name
        for path in (git.directory / ".git").rglob("*")
        if path.name.endswith((".lock", ".moving"))
    ] == ["octet-merge.lock"]
    assert_in_step(git)


def test_an_interrupt_between_files_and_branch(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C after the checkout followed and before the branch moved: the checkout goes back."""
    work(git, "t", {"t.txt": "t\n", "base.txt": "t\n"})
    bring, tip = branch_move._move_checkout, git.commit("main")

    def bring_and_interrupt(*args: object) -> str:
        assert bring(*args) == ""  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(branch_move, "_move_checkout", bring_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            land_one(git, "octet/t")
    assert git.commit("main") == tip
    assert not (git.directory / "t.txt").exists()
    assert_in_step(git)
    assert isinstance(land_one(git, "octet/t"), Landed)


def test_git_stops_half_way_in_the_checkout(git: Git) -> None:
    """No space, no rights or a filter: the written part goes back, and the reason is given."""
    commit(git, {".gitattributes": "z.txt filter=moody\n", "z.txt": "z\n"})
    git.out("config", "filter.moody.required", "true")
    git.out("config", "filter.moody.clean", "cat")
    git.out(
        "config",
        "filter.moody.smudge",
        f"test ! -e {shlex.quote(str(git.directory / 'a.txt'))} && cat",
    )
    work(git, "t", {"a.txt": "t\n", "base.txt": "t\n", "z.txt": "more\n"})
    tip = git.commit("main")
    outcome = land_one(git, "octet/t")
    assert isinstance(outcome, MergeBlocked)
    assert "filter" in outcome.why
    assert git.commit("main") == tip
    assert not (git.directory / "a.txt").exists()
    assert (git.directory / "base.txt").read_text() == "base\n"
    git.out("config", "filter.moody.smudge", "cat")
    assert_in_step(git)
    assert isinstance(land_one(git, "octet/t"), Landed)
    assert_in_step(git)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_landing_ended_during_its_tests(git: Git, tmp_path: Path, how: signal.Signals) -> None:
    """However it ends, its tests end with it, and the next landing finds a repository as it was."""
    submitted = work(git, "t", {"t.txt": "t\n"})
    code = (
        "import sys; from pathlib import Path; from octet.git.program import Git; from "
        "octet.merge.model import *; from octet.merge.landing import land;"
        "from octet.merge.test_command import TestCommand; root = Path(sys.argv[1]);"
        "list(land(Git(root), [Work('t', 't', sys.argv[2])], MergeTarget('main'), "
        "strategy=Strategy.MERGE, test_command=TestCommand(sys.argv[3], 60),"
        " directory=root.parent / 'trees'))"
    )
    running = tmp_path / "running"
    test_command = f"(while :; do date > {running}; sleep 0.05; done) & wait"
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    lander = subprocess.Popen(
        [sys.executable, "-c", code, str(git.directory), submitted, test_command],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    poll(running.exists)
    lander.send_signal(how)
    lander.wait(20)
    running.unlink(missing_ok=True)
    time.sleep(0.2)  # four beats of it, were it alive
    assert not running.exists()
    assert_in_step(git)
    assert isinstance(land_one(git, "octet/t"), Landed)
    assert len(list_worktrees(git)) == 2
