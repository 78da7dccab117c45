"""Work handed in to the gates: its branch and commit, the paths that it changes, and whether its
branch has new commits since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from octet.base.errors import Refused, UsageError
from octet.base.text import plain
from octet.client.api import Octet
from octet.core.tasks.gates import gates_for
from octet.core.tasks.record import Task
from octet.git.program import Git
from octet.git.remote import Remote
from octet.git.worktrees import BRANCH_PREFIX
from octet.merge.tree_merge import conflicts_between
from octet.worktree.repository import base_branch

MAX_STAT_LINES = 40
MAX_NAMED = 20


@dataclass(frozen=True)
class SubmittedChange:
    """A submitted commit compared with the protected branch: where they part (`base`, "" if
    nowhere), the command that shows the difference, and the changed files with counts, for people.
    """

    base: str
    command: str
    stat: str


def find_committed_work(
    directory: Path, branch: str, protected: Iterable[str] = ()
) -> tuple[str, str]:
    """The branch to submit and its commit: the named branch, or the one checked out in the
    directory, with nothing left to commit.

    Raises:
        Refused: changes are not committed, there is no such branch, or it matches one of the
            `protected` globs, which only a merge moves.
    """
    git, named = Git(directory), branch
    branch = branch or checked_out_branch(directory)
    if any(fnmatchcase(branch, pattern) for pattern in protected):
        raise Refused(
            f"{branch} is a protected branch, which only a merge moves: submit from your "
            "worktree, or name your branch with --branch"
        )
    if branch and not named and git.out("status", "--porcelain", "--untracked-files=no"):
        raise Refused(f"{branch} has changes that are not committed: commit them, then submit")
    if not branch or not (commit := git.commit(f"refs/heads/{branch}")):
        raise Refused(
            f"there is no branch {branch or 'checked out here'}: commit your work to one, "
            "then submit with --branch"
        )
    return branch, commit


def checked_out_branch(directory: Path) -> str:
    """The branch checked out in a directory, "" for none."""
    return Git(directory).run("symbolic-ref", "--short", "--quiet", "HEAD").out


def refuse_conflicts(octet: Octet, branch: str, commit: str) -> None:
    """Refuse work that conflicts with the protected branch as known here, before others look at it.

    Raises:
        Refused: it conflicts; the message names the files and says what to do.
    """
    assert octet.project is not None
    git, remote = Git(octet.project.root), octet.project.config.merge_remote
    try:
        base = base_branch(octet.project)
    except UsageError:
        return  # the merge reports that
    remote_ref, local_ref = f"refs/remotes/{remote}/{base}", f"refs/heads/{base}"
    protected = remote_ref if remote and git.commit(remote_ref) else local_ref
    if paths := conflicts_between(git, git.commit(protected), commit):
        name = protected.removeprefix("refs/heads/").removeprefix("refs/remotes/")
        where = ", ".join(map(plain, paths[:MAX_NAMED]))
        raise Refused(
            f"{branch} conflicts with {name} in {where}: `git merge {name}` in your "
            "worktree, resolve, commit, submit again"
        )


def push_task_branch(octet: Octet, branch: str, commit: str) -> None:
    """If the project merges at a remote, push the branch there, so that reviewers and mergers on
    other machines have it.

    Raises:
        Refused: the remote did not take it.
    """
    assert octet.project is not None
    config = octet.project.config
    if not config.merge_remote or not branch.startswith(BRANCH_PREFIX):
        return
    remote = Remote(Git(octet.project.root), config.merge_remote, base_branch(octet.project))
    if why := remote.publish(branch, commit):
        raise Refused(f"{config.merge_remote} did not take {branch}: {why}")


def gates_of_commit(octet: Octet, task: Task, commit: str) -> tuple[str, ...]:
    """The gates that a task's commit passes before the merge, by the project's settings."""
    assert octet.project is not None
    return gates_for(task, changed_paths(octet, commit), octet.project.config)


def changed_paths(octet: Octet, commit: str) -> Sequence[str]:
    """The repository-relative paths that a commit changes compared with the protected branch; all
    of its files if the two have no history in common.
    """
    assert octet.project is not None
    git = Git(octet.project.root)
    base = merge_base(octet, commit)
    # By plumbing commands, so that settings such as diff.relative hide nothing. A renamed file is
    # changed at its old and its new path.
    if base:
        listed = git.out("diff-tree", "-r", "-z", "--name-only", "--no-renames", base, commit)
    else:
        listed = git.out("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit)
    return [path for path in listed.split("\0") if path]


def merge_base(octet: Octet, commit: str) -> str:
    """Where a commit parted from the protected branch; "" if there is no such branch, or they have
    no history in common.
    """
    assert octet.project is not None
    try:
        branch = base_branch(octet.project)
    except UsageError:
        return ""
    return Git(octet.project.root).run("merge-base", f"refs/heads/{branch}", commit).out


def read_change(octet: Octet, task: Task) -> SubmittedChange | None:
    """A submitted task's change; None if this repository lacks the commit."""
    assert octet.project is not None
    git = Git(octet.project.root)
    if not task.commit or not git.commit(task.commit):
        return None
    base = merge_base(octet, task.commit)
    if not base:
        return SubmittedChange("", f"git show {task.commit[:12]}", "")
    stat = git.out("diff-tree", "-r", f"--stat=100,60,{MAX_STAT_LINES}", base, task.commit)
    return SubmittedChange(base, f"git diff {base[:12]} {task.commit[:12]}", stat)


def find_newer_tip(octet: Octet, task: Task) -> str:
    """The commit to which a submitted task's branch has moved; "" if it has not, or is not here.

    A branch of this name may be an older copy, from before a fetch: a commit that the submitted one
    contains, or that was made before it, is not newer.
    """
    assert octet.project is not None
    git = Git(octet.project.root)
    tip = git.commit(f"refs/heads/{task.branch}") if task.branch else ""
    if not tip or not task.commit or not git.commit(task.commit) or git.contains(task.commit, tip):
        return ""
    submitted_s, tip_s = (
        int(git.out("show", "--no-patch", "--format=%ct", commit)) for commit in (task.commit, tip)
    )
    return tip if submitted_s <= tip_s else ""
