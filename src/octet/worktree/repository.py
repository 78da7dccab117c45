"""The repository that the worktrees belong to, and the branch that their work starts from."""

from __future__ import annotations

from octet.base.errors import UsageError
from octet.client.api import Octet
from octet.git.program import Git
from octet.project.repository import Project


def require_repository(octet: Octet) -> Project:
    """The project, which must be a git repository.

    Raises:
        UsageError: it is not.
    """
    if octet.project is None or octet.project.common_dir is None:
        raise UsageError("worktrees need a git repository: run `git init` and make a first commit")
    return octet.project


def base_branch(project: Project) -> str:
    """The protected branch where work starts and returns: the first configured one that exists.

    Raises:
        UsageError: none of them exists.
    """
    git = Git(project.root)
    for name in project.config.protected:
        if not any(sign in name for sign in "*?[") and git.commit(f"refs/heads/{name}"):
            return name
    raise UsageError(
        f"none of the protected branches ({', '.join(project.config.protected)}) exists: "
        "make its first commit"
    )
