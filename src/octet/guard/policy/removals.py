"""What a removed path takes along: a linked worktree, or the main checkout."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from octet.base.text import plain
from octet.guard.paths import LinkedWorktree, Outside, SharedCheckout, Target, classify
from octet.project.repository import Project, Worktree, is_within, worktrees_of


class Removals:
    """Removals in one project. Names are "" where nothing is lost."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def worktree_in(self, target: Target, *, directly: bool = False) -> str:
        """The name of a linked worktree that is removed with the target; `directly`: one whose
        parent directory the target is.
        """
        if isinstance(target, LinkedWorktree):
            return plain(target.worktree.name) if target.path == "." else ""
        place = self._place(target)
        if place is None:
            return ""
        for worktree in self._linked:
            if worktree.path.parent == place if directly else is_within(worktree.path, place):
                return plain(worktree.name)
        return ""

    def worktree_below(self, begin: str) -> str:
        """A linked worktree that `begin` with any text behind it may mean: one inside `begin`, or,
        where `begin` ends with a slash, directly inside.
        """
        return self.worktree_in(classify(self._project, begin), directly=begin.endswith("/"))

    def takes_checkout(self, target: Target) -> bool:
        """Whether the main checkout is removed with the target."""
        if isinstance(target, Outside):
            return is_within(self._project.root, Path(target.path))
        return isinstance(target, SharedCheckout) and target.path == "."

    def _place(self, target: Target) -> Path | None:
        if isinstance(target, Outside):
            return Path(target.path)
        return self._project.root / target.path if isinstance(target, SharedCheckout) else None

    @cached_property
    def _linked(self) -> list[Worktree]:
        common_dir = self._project.common_dir
        found = worktrees_of(common_dir) if common_dir else []
        return [worktree for worktree in found if not worktree.is_main]
