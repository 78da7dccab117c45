"""What is handed on to the gates: a branch, its commit, the paths that it touches, and whether the
branch has moved on since.
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
from octet.merge.combination import conflicts_between
from octet.worktree.repository import base_branch

MOST_STAT_LINES = 40
MOST_NAMED = 20


@dataclass(frozen=True)
class Change:
    """A submitted commit beside the protected branch: where they part (`base`, "" when nowhere),
    the command that shows the difference, and the files it touches, counted for people.
    """

    base: str
    command: str
    stat: str


def committed_work(directory: Path, branch: str, protected: Iterable[str] = ()) -> tuple[str, str]:
    """The branch to submit and its commit: the named one, or the directory's, whose changes must
    all be committed.

    Raises:
        Refused: changes are not committed, there is no such branch, or it is one of the `protected`
            (globs), which a merge moves.
    """
    git, named = Git(directory), branch
    branch = branch or current_branch(directory)
    if any(fnmatchcase(branch, pattern) for pattern in protected):
        raise Refused(
            f"{branch} is a protected branch and nobody's work: submit from your worktree, "
            "or name your branch with --branch"
        )
    if branch and not named and git.out("status", "--porcelain", "--untracked-files=no"):
        raise Refused(f"{branch} has changes that are not committed: commit them, then submit")
    if not branch or not (commit := git.commit(f"refs/heads/{branch}")):
        raise Refused(
            f"there is no branch {branch or 'checked out here'}: commit your work to one, "
            "then submit with --branch"
        )
    return branch, commit


def current_branch(directory: Path) -> str:
    """The branch checked out in a directory, "" for none."""
    return Git(directory).run("symbolic-ref", "--short", "--quiet", "HEAD").out


def check_fits(octet: Octet, branch: str, commit: str) -> None:
    """Before anybody else spends time on it: whether work can be combined with the protected branch
    as it is known here.

    Raises:
        Refused: it conflicts; says in which files, and what to do.
    """
    assert octet.project is not None
    git, remote = Git(octet.project.root), octet.project.config.merge_remote
    try:
        base = base_branch(octet.project)
    except UsageError:
        return  # nothing to fit to; the merge says so
    known = [
        name
        for name in (f"refs/remotes/{remote}/{base}" if remote else "", f"refs/heads/{base}")
        if name and git.commit(name)
    ]
    if paths := conflicts_between(git, git.commit(known[0]), commit):
        name = known[0].removeprefix("refs/heads/").removeprefix("refs/remotes/")
        where = ", ".join(map(plain, paths[:MOST_NAMED]))
        raise Refused(
            f"{branch} conflicts with {name} in {where}: `git merge {name}` in your "
            "worktree, resolve, commit, submit again"
        )


def publish(octet: Octet, branch: str, commit: str) -> None:
    """Where the project merges at a remote, put the branch there, so that whoever merges or reviews
    on another machine has it.

    Raises:
        Refused: the remote did not take it.
    """
    assert octet.project is not None
    config = octet.project.config
    if not config.merge_remote or not branch.startswith(BRANCH_PREFIX):
        return
    if why := Remote(
        Git(octet.project.root), config.merge_remote, base_branch(octet.project)
    ).publish(branch, commit):
        raise Refused(f"{config.merge_remote} did not take {branch}: {why}")


def decided_gates(octet: Octet, task: Task, commit: str) -> tuple[str, ...]:
    """What a task's commit passes on its way to the merge, by the project's settings."""
    assert octet.project is not None
    return gates_for(task, changed_paths(octet, commit), octet.project.config)


def changed_paths(octet: Octet, commit: str) -> Sequence[str]:
    """The paths that a commit touches beside the protected branch, repository-relative; all of its
    files where nothing tells them apart.
    """
    assert octet.project is not None
    git = Git(octet.project.root)
    base = merge_base(octet, commit)
    # The plumbing: settings such as diff.relative must hide nothing. A file that moves is touched
    # where it was and where it is.
    if base:
        listed = git.out("diff-tree", "-r", "-z", "--name-only", "--no-renames", base, commit)
    else:
        listed = git.out("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit)
    return [path for path in listed.split("\0") if path]


def merge_base(octet: Octet, commit: str) -> str:
    """Where a commit parted from the protected branch; "" when there is no such branch, or they
    have nothing in common.
    """
    assert octet.project is not None
    try:
        branch = base_branch(octet.project)
    except UsageError:
        return ""
    return Git(octet.project.root).run("merge-base", f"refs/heads/{branch}", commit).out


def change_of(octet: Octet, task: Task) -> Change | None:
    """A submitted task's change, as this repository sees it; None where it lacks the commit."""
    assert octet.project is not None
    git = Git(octet.project.root)
    if not task.commit or not git.commit(task.commit):
        return None
    base = merge_base(octet, task.commit)
    if not base:
        return Change("", f"git show {task.commit[:12]}", "")
    stat = git.out("diff-tree", "-r", f"--stat=100,60,{MOST_STAT_LINES}", base, task.commit)
    return Change(base, f"git diff {base[:12]} {task.commit[:12]}", stat)


def moved_tip(octet: Octet, task: Task) -> str:
    """The commit that a submitted task's branch has moved on to, "" when it has not, or is not
    here.

    A branch of this name may be an older copy, from before a fetch: what the submitted commit
    contains, or was made before it, is not new.
    """
    assert octet.project is not None
    git = Git(octet.project.root)
    tip = git.commit(f"refs/heads/{task.branch}") if task.branch else ""
    if not tip or not task.commit or not git.commit(task.commit) or git.contains(task.commit, tip):
        return ""
    made = [
        int(git.out("show", "--no-patch", "--format=%ct", commit)) for commit in (task.commit, tip)
    ]
    return tip if made[0] <= made[1] else ""
