"""A checkout of the project for the rules of git's subcommands, after the commands before.

checkout = Checkout(project, find_worktree("/srv/shop"), "/srv/shop", {})
checkout.branch()                       # "main"
checkout.may_be_protected("main")       # True
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from octet.guard.git.call import Call
from octet.guard.shell.partial_paths import may_equal
from octet.guard.shell.words import UNKNOWN
from octet.project import git_config
from octet.project.repository import Project, Worktree, branch_exists, current_branch, worktrees_of

# Everyday commands: not looked up, because no alias can take their names.
_OWN = frozenset(
    {
        "add",
        "branch",
        "checkout",
        "commit",
        "diff",
        "fetch",
        "log",
        "merge",
        "pull",
        "push",
        "show",
        "status",
        "switch",
    }
)


@dataclass(frozen=True)
class Checkout:
    """A checkout of the project; `worktree` is None where it is unknown. `switched`: the branches
    to which earlier commands switched, by git directory. `heads`: branch → where it is checked out,
    by shared git directory, filled at the first question.
    """

    project: Project
    worktree: Worktree | None
    directory: str | None
    switched: dict[Path, str]
    heads: dict[Path, dict[str, Worktree]] = field(default_factory=dict)

    @property
    def linked(self) -> bool:
        """Whether it is a linked worktree."""
        return bool(self.worktree and not self.worktree.is_main)

    @property
    def top(self) -> str | None:
        """Its directory, None when unknown."""
        return str(self.worktree.path) if self.worktree else None

    def branch(self) -> str:
        """The current branch: "" when detached or when the checkout is unknown, UNKNOWN when it
        cannot be told.
        """
        if self.worktree is None:
            return ""
        if (switched := self.switched.get(self.worktree.git_dir)) is not None:
            return switched
        found = current_branch(self.worktree)
        return UNKNOWN if found is None else found

    def switch(self, branch: str) -> None:
        """The call switches to `branch`; "" detaches, UNKNOWN is one that cannot be told."""
        if self.worktree:
            self.switched[self.worktree.git_dir] = branch

    def has_branch(self, name: str) -> bool:
        """Whether `git checkout NAME` would switch to a branch."""
        return bool(self.worktree and branch_exists(self.worktree, name)) or self.may_be_protected(
            name
        )

    def has_path(self, path: str) -> bool:
        """Whether the path exists, seen from the call's directory."""
        try:
            # Not Path(), which would drop "./".
            return os.path.lexists(os.path.join(self.directory or "/", path))  # noqa: PTH118
        except (OSError, ValueError):
            return False

    def elsewhere(self, branch: str) -> str:
        """The other checkout that is on the branch, in words: "the worktree dev-1"; "" for none, or
        where the name is unknown.
        """
        mine = self.worktree
        if mine is None or not branch or UNKNOWN in branch:
            return ""
        if (heads := self.heads.get(mine.common_dir)) is None:
            heads = self.heads[mine.common_dir] = {
                current_branch(other) or "": other for other in worktrees_of(mine.common_dir)
            }
        other = heads.get(branch)
        if other is None or other.git_dir == mine.git_dir:
            return ""
        return "the main checkout" if other.is_main else f"the worktree {other.name}"

    def protected(self) -> tuple[str, ...]:
        """Names of the protected branches; patterns are left out."""
        return tuple(
            pattern for pattern in self.project.config.protected if not _is_pattern(pattern)
        )

    def may_be_protected(self, branch: str) -> bool:
        """Whether a branch's template is, or may turn out to be, a protected branch's name."""
        return any(_may_match(branch, pattern) for pattern in self.project.config.protected)

    def alias(self, call: Call) -> str | None:
        """The subcommand's alias as text; None if it is none: git's own commands never are."""
        name = call.subcommand.lower()
        given = [value for key, value in call.settings if key == f"alias.{name}"]
        if given:
            return given[-1]
        if call.subcommand in _OWN or UNKNOWN in name or self.worktree is None:
            return None
        for path in (self.worktree.common_dir / "config", *_global_files()):
            if name in (aliases := git_config.section(path, "alias")):
                return aliases[name]
        return None


def _global_files() -> Sequence[Path]:
    home = Path(os.environ.get("HOME") or "/")
    return (
        home / ".gitconfig",
        Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "git" / "config",
    )


def _may_match(template: str, pattern: str) -> bool:
    """Whether a branch named `template`, partly unknown, can be one that `pattern` protects."""
    if UNKNOWN not in template:
        return fnmatchcase(template, pattern)
    if _is_pattern(pattern):  # two patterns: they meet unless their literal beginnings differ
        mine, other = template.partition(UNKNOWN)[0], re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        return mine.startswith(other) or other.startswith(mine)
    return may_equal(template, pattern)


def _is_pattern(name: str) -> bool:
    return any(character in name for character in "*?[")
