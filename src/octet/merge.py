"""One branch merged onto a protected branch: combined and tested in a worktree of its own, then moved by compare-and-swap.

Nothing moves before the combined tree has passed. The branch and a checkout that has it move in two phases, as seen from
`_move`: git's reference transaction is *prepared* (the branch is locked and still where it was), the checkout's files and
index follow, the transaction is *committed*. A step that fails gives up the transaction, so that no checkout is left with an
index that disagrees with its branch. Only a kill between the last two steps leaves one, ahead of its branch and with nothing
lost; `refs/octet/merging/<branch>` says so, and the next merge takes it back.

The caller holds the branch's `repository:` lock; here a file lock keeps a second merge on this machine out.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from octet.git import NO_HOOKS, Git, clean_environment
from octet.worktrees import list_worktrees

SCRATCH = "octet-merge"
TAIL_BYTES = 4000
UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD")


@dataclass(frozen=True)
class Merged:
    """The branch is at `commit`; equal to `previous` where it had the work already."""

    commit: str
    previous: str


@dataclass(frozen=True)
class Conflict:
    """The two sides changed the same lines of these files; nothing moved."""

    paths: tuple[str, ...]


@dataclass(frozen=True)
class TestsFailed:
    """The combined tree did not pass; nothing moved. `status` is negative for a signal, None where the time ran out."""

    status: int | None
    tail: str


@dataclass(frozen=True)
class MergeRefused:
    """The merge cannot be made as things are; nothing moved. `why` says what to do."""

    why: str


Outcome = Merged | Conflict | TestsFailed | MergeRefused


@dataclass(frozen=True)
class Suite:
    """The project's test command, a line for the shell. The caller has checked that this machine trusts it."""

    command: str
    timeout_s: float

    def run(self, directory: Path) -> TestsFailed | None:
        """Run it in `directory`; None when it passes. At the end of the time it is killed with all it started."""
        with tempfile.TemporaryFile() as output:
            # Output goes to a file: a pipe would be held open by whatever the tests leave running.
            process = subprocess.Popen(
                self.command,
                shell=True,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=clean_environment(),
            )
            status = self._wait(process)
            return None if status == 0 else TestsFailed(status, _tail(output))

    def _wait(self, process: subprocess.Popen[bytes]) -> int | None:
        try:
            return process.wait(self.timeout_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.returncode is None:  # time-out or interrupt; not reaped, so the group is still its own
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def merge(git: Git, source: str, onto: str, *, suite: Suite | None, scratch: Path, message: str) -> Outcome:
    """Merge `source` onto the branch `onto`, if the combined tree passes.

    The repository's own commit and merge hooks do not run on the combination; its reference-transaction hook does.

    Args:
        source: a branch or, better, the commit that was submitted and reviewed.
        suite: None only where a person has said that this merge needs no tests.
        scratch: directory where the combining worktree is made; removed again at the end.
        message: of the merge commit; there is one even where a fast-forward would do.

    Raises:
        GitFailed: git is missing, or the directory is in no repository.
    """
    lock = FileLock(git.common_dir() / "octet-merge.lock", timeout=0)
    try:
        with lock:
            return _merge(git, source, onto, suite, scratch, message)
    except Timeout:
        return MergeRefused("another merge is running in this repository: wait for it")


def _merge(git: Git, source: str, onto: str, suite: Suite | None, scratch: Path, message: str) -> Outcome:
    old, new = git.commit(f"refs/heads/{onto}"), git.commit(source)
    if not (old and new):
        return MergeRefused(f"there is no {source if old else f'branch {onto}'}")
    if git.contains(old, new):
        return Merged(old, old)
    _take_back(git, onto, old)
    if why := _obstacle(git, onto):  # before the tests, which are long; `_move` looks again
        return MergeRefused(why)
    path = scratch.resolve() / SCRATCH
    if path.exists() and not any(tree.path == path for tree in list_worktrees(git)):
        return MergeRefused(f"{path} is in the way: move it")
    with _detached(git, path, old) as tree:
        outcome = _combine(tree, new, message)
        if not isinstance(outcome, str):
            return outcome
        if suite is not None and (failed := suite.run(path)):
            return failed
    return _move(git, onto, outcome, old)


@contextmanager
def _detached(git: Git, path: Path, commit: str) -> Iterator[Git]:
    """A worktree at `commit` that is on no branch and runs no hooks; one that a killed merge left is thrown away first."""
    quiet = git.at(git.directory, *NO_HOOKS)
    _discard(quiet, path)
    try:
        quiet.out("worktree", "add", "--quiet", "--force", "--detach", str(path), commit)
        yield quiet.at(path)
    finally:
        _discard(quiet, path)


def _discard(quiet: Git, path: Path) -> None:
    # Files first: git removes a worktree whose directory is gone, but none that has lost its `.git` file half-way. What cannot be
    # removed now, because the tests left something writing there, is for the next merge.
    shutil.rmtree(path, ignore_errors=True)
    quiet.run("worktree", "remove", "--force", "--force", str(path))


def _combine(tree: Git, source: str, message: str) -> str | Conflict | MergeRefused:
    """Make the merge commit; its name, or why there is none."""
    # rerere could settle a conflict by how an earlier one was settled, and nobody would look.
    ran = tree.at(tree.directory, "-c", "rerere.enabled=false").run("merge", "--no-ff", "--quiet", "-m", message, source)
    if ran.status == 0:
        return tree.commit("HEAD")
    unmerged = tree.out("diff", "--name-only", "--diff-filter=U", "-z").split("\0")
    paths = tuple(path for path in unmerged if path)
    return Conflict(paths) if paths else MergeRefused(ran.complaint)


def _move(git: Git, branch: str, new: str, old: str) -> Merged | MergeRefused:
    if why := _obstacle(git, branch):
        return MergeRefused(why)
    checkout = next(iter(_checkouts(git, branch)), None)
    git.out("update-ref", _marker(branch), new)
    why = _move_both(git, checkout, f"update refs/heads/{branch} {new} {old}", new, old)
    git.out("update-ref", "-d", _marker(branch))
    return MergeRefused(why) if why else Merged(new, old)


def _move_both(git: Git, checkout: Git | None, update: str, new: str, old: str) -> str:
    """Prepare the reference, bring the checkout along, commit the reference; why not, or ""."""
    # Run in the checkout where there is one, so that its HEAD's reflog has the step too.
    with (checkout or git).converse("update-ref", "-m", "octet: merge", "--stdin") as transaction:
        if not _say(transaction, f"start\n{update}\nprepare\n", "prepare: ok"):
            return _complaint(transaction)
        if checkout and (why := _bring(checkout, old, new)):
            return why
        if _say(transaction, "commit\n", "commit: ok"):
            return ""
        why = _complaint(transaction)
    if checkout:
        _bring(checkout, new, old)
    return why


def _bring(checkout: Git, old: str, new: str) -> str:
    """Take a checkout's index and files from one commit to another, all or nothing; why not, or ""."""
    checkout.run("update-index", "-q", "--refresh")  # else a file that was only touched counts as changed
    ran = checkout.at(checkout.directory, *NO_HOOKS).run("read-tree", "-m", "-u", old, new)
    return f"{checkout.directory} cannot follow: {ran.complaint}" if ran.status else ""


def _take_back(git: Git, branch: str, tip: str) -> None:
    """Where a merge was killed between files and branch, bring the checkout's files back to the branch."""
    started = git.commit(_marker(branch))
    if not started:
        return
    for checkout in _checkouts(git, branch):
        ahead = started != tip and checkout.run("write-tree").out == git.out("rev-parse", f"{started}^{{tree}}")
        if ahead and _bring(checkout, started, tip):
            return  # its owner has changed files since; `_obstacle` says so
    git.out("update-ref", "-d", _marker(branch))


def _obstacle(git: Git, branch: str) -> str:
    """Why the branch cannot move under the checkouts that have it, or ""."""
    checkouts = _checkouts(git, branch)
    if len(checkouts) > 1:
        return f"{branch} is checked out in {len(checkouts)} places: leave it in one at most"
    for checkout in checkouts:
        where = f"{checkout.directory} has {branch} checked out"
        if not checkout.directory.is_dir():
            return f"{where} and is not on disk: `git worktree prune`, or bring it back"
        if any(checkout.path(name).exists() for name in UNDER_WAY):
            return f"{where}, with a merge, cherry-pick or revert under way: finish it there"
        if checkout.out("--no-optional-locks", "status", "--porcelain", "--untracked-files=no"):
            return f"{where}, with uncommitted changes: commit them, or check out another branch there"
    return ""


def _checkouts(git: Git, branch: str) -> list[Git]:
    return [git.at(tree.path) for tree in list_worktrees(git) if tree.branch == branch and not tree.bare]


def _marker(branch: str) -> str:
    return f"refs/octet/merging/{branch}"


def _say(process: subprocess.Popen[bytes], words: str, answer: str) -> bool:
    """Send lines; whether `answer` came before the end of the output."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(words.encode())
        process.stdin.flush()
    except BrokenPipeError:
        return False
    return any(line.strip() == answer.encode() for line in iter(process.stdout.readline, b""))


def _complaint(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    lines = process.stderr.read().decode(errors="replace").splitlines()
    return next((line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")), "git would not move the branch")


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - TAIL_BYTES))
    return output.read().decode(errors="replace")
