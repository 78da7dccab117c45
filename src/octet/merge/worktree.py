"""The worktree in which works are combined and tested: on no branch, runs no hooks, thrown away in
the end.

    with Scratch(git, common, path) as scratch:
        scratch.clear(list_worktrees(git))
        scratch.show(commit)         # its files are that commit's, and nothing else

What the tests do to its `.git` leads git nowhere else: commands here name the directories
themselves.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType

from octet.git.program import NO_HOOKS, Git, GitFailed
from octet.git.worktrees import ListedWorktree
from octet.merge.recovery import STILL_AT_WORK

# A person's settings that would change the files that are tested.
_PLAIN = (
    *NO_HOOKS,
    "-c",
    "core.autocrlf=false",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "submodule.recurse=false",
)


class Scratch:
    """One such worktree. The caller sees to it that no other process uses the same path."""

    def __init__(self, git: Git, common: Path, path: Path) -> None:
        self.path = path
        self._common = common
        self._lock: int | None = None
        self._quiet = git.at(git.directory, *_PLAIN)
        self._tree: Git | None = None
        self._shown = ""
        self._used = False

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._tree is not None:
            self._tree = None
            discard(self._quiet, self.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def clear(self, known: list[ListedWorktree]) -> str:
        """Throw away what a killed process left at the path; why that cannot be, or "". Done once,
        before the first `show`.

        The git commands that make the worktree hold a lock as long as they live: one that outlived
        its landing would write into ours.
        """
        if self._lock is not None:
            return ""
        lock = os.open(self._common / f"{self.path.name}.busy", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return STILL_AT_WORK
        self._lock = lock
        half_made = self._common / "worktrees" / self.path.name
        if half_made.is_dir() and not (half_made / "gitdir").exists():
            shutil.rmtree(
                half_made, ignore_errors=True
            )  # git was killed before it wrote where the worktree is, and does not list it
        if any(tree.path == self.path for tree in known):
            discard(self._quiet, self.path)
        elif self.path.exists():
            return f"{self.path} is in the way: move it"
        return ""

    def show(self, commit: str) -> Git:
        """The worktree at `commit`.

        Raises:
            GitFailed: git cannot make it.
        """
        if self._tree is None or not self._turn(self._tree, commit):
            self._tree = self._make(commit)
        self._shown = commit
        return self._tree

    def spoil(self) -> Path:
        """Its path, for tests that leave files there; the next `show` clears them away."""
        self._used = True
        return self.path

    @property
    def _keep(self) -> tuple[int, ...]:
        return () if self._lock is None else (self._lock,)

    def _turn(self, tree: Git, commit: str) -> bool:
        # Not `reset`: the tests may have put the worktree on a branch, and that would move.
        if not self._used and commit == self._shown:
            return True
        ran = tree.run(
            "checkout",
            "--quiet",
            "--force",
            "--detach",
            "--no-recurse-submodules",
            commit,
            "--",
            keep=self._keep,
        )
        if ran.status == 0 and self._used:
            ran = tree.run("clean", "-ffdxq", keep=self._keep)
            self._used = False
        return ran.status == 0

    def _make(self, commit: str) -> Git:
        if self._tree is not None or self.path.exists():
            discard(self._quiet, self.path)
        self._used = False
        ran = self._quiet.patient(
            "worktree",
            "add",
            "--quiet",
            "--force",
            "--detach",
            str(self.path),
            commit,
            keep=self._keep,
        )
        if ran.status != 0:
            raise GitFailed(f"no worktree for the tests: {ran.complaint}")
        link = (self.path / ".git").read_text().strip().removeprefix("gitdir: ")
        return self._quiet.at(self.path).having(
            GIT_DIR=str((self.path / link).resolve()), GIT_WORK_TREE=str(self.path)
        )


def discard(quiet: Git, path: Path) -> None:
    """Remove a scratch worktree as far as that can be done now."""
    # Files first: git removes a worktree whose directory is gone, but none that has lost its `.git`
    # file half-way. What cannot be removed now, because the tests left something writing there, is
    # for the next landing.
    shutil.rmtree(path, ignore_errors=True)
    quiet.run("worktree", "remove", "--force", "--force", str(path))
