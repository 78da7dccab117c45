"""How a project merges: branch, strategy, batch and test command, as its settings say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from octet.base.errors import Refused
from octet.merge.model import MergeTarget, Strategy
from octet.merge.test_command import TestCommand
from octet.project import trust
from octet.project.repository import Project
from octet.worktree.repository import base_branch

TESTS_LIMIT_S = 3600.0


@dataclass(frozen=True)
class MergeSettings:
    """`directory` is where the merge worktree is made. `test_command` is None only if a person has
    said that no tests are needed.
    """

    root: Path
    target: MergeTarget
    strategy: Strategy
    batch: int
    test_command: TestCommand | None
    directory: Path

    @property
    def resource(self) -> str:
        """The lock that a merge needs."""
        return f"repository:{self.target.branch}"


def read_merge_settings(project: Project, test_command: TestCommand | None) -> MergeSettings:
    """How this project merges, with this test command.

    Raises:
        UsageError: there is no protected branch.
    """
    config = project.config
    return MergeSettings(
        project.root,
        MergeTarget(base_branch(project), config.merge_remote),
        Strategy(config.merge_strategy),
        config.merge_batch,
        test_command,
        project.root / config.worktree_directory,
    )


def approved_test_command(project: Project) -> TestCommand:
    """The project's test command, which this machine's person has approved.

    Raises:
        Refused: there is no command, or it is not the approved one.
    """
    command = project.config.test_command
    if not command:
        raise Refused(
            "no test command is set: write one under [test] in .claude/octet.toml; a person "
            "may merge with --no-tests"
        )
    if refusal := trust.check(project).command_refusal("test.command"):
        raise Refused(refusal)
    return TestCommand(command, TESTS_LIMIT_S)
