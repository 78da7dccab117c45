"""The worktree that combines and tests works: on no branch, without hooks, removed at the end.

    with merge_worktree(git, common, directory) as worktree:
        worktree.clear_leftovers(list_worktrees(git))
        worktree.check_out(commit)         # exactly that commit's files

The commands here name git's directories themselves, so that whatever the tests do to the worktree's
`.git` cannot lead git elsewhere.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from octet.git.program import NO_HOOKS, Git, GitFailed
from octet.git.worktrees import (
    MERGE_WORKTREE,
    TEST_WORKTREE_PREFIX,
    ListedWorktree,
    list_worktrees,
)
from octet.merge.model import CannotMerge
from octet.merge.move_record import STILL_RUNNING

MAX_TEST_RUNS = 32
# Without a person's settings that would change the files that are tested.
_NEUTRAL = (
    *NO_HOOKS,
    *("-c", "core.autocrlf=false"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "submodule.recurse=false"),
)


@contextmanager
def merge_worktree(git: Git, common: Path, directory: Path) -> Iterator[MergeWorktree | None]:
    """The one in which landings are tested; None while another process of this machine has it."""
    with _try_lock(common, MERGE_WORKTREE) as locked:
        if not locked:
            yield None
            return
        with MergeWorktree(git, common, directory / MERGE_WORKTREE) as worktree:
            yield worktree


@contextmanager
def free_test_worktree(git: Git, common: Path, directory: Path) -> Iterator[MergeWorktree]:
    """One of several for the test gate, which no other process of this machine has.

    Raises:
        CannotMerge: all are taken, or a leftover is in the way.
    """
    for number in range(1, MAX_TEST_RUNS + 1):
        path = directory / f"{TEST_WORKTREE_PREFIX}{number}"
        with _try_lock(common, path.name) as locked:
            if not locked:
                continue
            with MergeWorktree(git, common, path) as worktree:
                if why := worktree.clear_leftovers(list_worktrees(git)):
                    raise CannotMerge(why)
                yield worktree
            return
    raise CannotMerge(
        f"{MAX_TEST_RUNS} test runs are under way in this repository: wait for one to end"
    )


@contextmanager
def _try_lock(common: Path, name: str) -> Iterator[bool]:
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


class MergeWorktree:
    """One such worktree. The caller makes sure that no other process uses the same path."""

    def __init__(self, git: Git, common: Path, path: Path) -> None:
        self.path = path
        self._common = common
        self._lock: int | None = None
        self._neutral = git.at(git.directory, *_NEUTRAL)
        self._tree: Git | None = None
        self._commit = ""
        self._is_dirty = False

    def __enter__(self) -> MergeWorktree:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._tree is not None:
            self._tree = None
            self._discard()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def clear_leftovers(self, known: list[ListedWorktree]) -> str:
        """Remove what a killed process left at the path; returns why that is impossible, or "".
        Done once, before the first `check_out`.

        The git commands that fill the worktree hold a lock as long as they run: one that outlived
        its landing would write into the new worktree.
        """
        if self._lock is not None:
            return ""
        lock = os.open(self._common / f"{self.path.name}.busy", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return STILL_RUNNING
        self._lock = lock
        half_made = self._common / "worktrees" / self.path.name
        # Git does not list a worktree if it was killed before it wrote where that worktree is.
        if half_made.is_dir() and not (half_made / "gitdir").exists():
            shutil.rmtree(half_made, ignore_errors=True)
        if any(listed.path == self.path for listed in known):
            self._discard()
        elif self.path.exists():
            return f"{self.path} is in the way: move it"
        return ""

    def check_out(self, commit: str) -> Git:
        """The worktree at `commit`.

        Raises:
            GitFailed: git cannot make it.
        """
        if self._tree is None or not self._switch(self._tree, commit):
            self._tree = self._add(commit)
        self._commit = commit
        return self._tree

    def path_for_tests(self) -> Path:
        """Its path, for tests that leave files there; the next `check_out` cleans up."""
        self._is_dirty = True
        return self.path

    @property
    def _keep(self) -> tuple[int, ...]:
        return () if self._lock is None else (self._lock,)

    def _switch(self, tree: Git, commit: str) -> bool:
        if not self._is_dirty and commit == self._commit:
            return True
        # Not `reset`: the tests may have put the worktree on a branch, and the branch would move.
        options = ("--quiet", "--force", "--detach", "--no-recurse-submodules")
        ran = tree.run("checkout", *options, commit, "--", keep=self._keep)
        if ran.status == 0 and self._is_dirty:
            ran = tree.run("clean", "-ffdxq", keep=self._keep)
            self._is_dirty = False
        return ran.status == 0

    def _add(self, commit: str) -> Git:
        if self._tree is not None or self.path.exists():
            self._discard()
        self._is_dirty = False
        options = ("--quiet", "--force", "--detach")
        ran = self._neutral.patient(
            "worktree", "add", *options, str(self.path), commit, keep=self._keep
        )
        if ran.status != 0:
            raise GitFailed(f"no worktree for the tests: {ran.complaint}")
        link = (self.path / ".git").read_text().strip().removeprefix("gitdir: ")
        return self._neutral.at(self.path).having(
            GIT_DIR=str((self.path / link).resolve()), GIT_WORK_TREE=str(self.path)
        )

    def _discard(self) -> None:
        """Remove it as far as possible now."""
        # Files first: git removes a worktree whose directory is gone, but not one that has lost
        # only its `.git` file. What cannot be removed, because the tests left a process that writes
        # there, is left for the next landing.
        shutil.rmtree(self.path, ignore_errors=True)
        self._neutral.run("worktree", "remove", "--force", "--force", str(self.path))
