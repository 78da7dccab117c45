"""The project's test command: run in a directory, killed with all that it started, its outcome kept
as evidence.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from octet.base.commands import read_tail, run_command
from octet.git.program import neutral_environment
from octet.merge.combination import Combination
from octet.merge.model import Evidence
from octet.merge.worktree import MergeWorktree

TAIL_BYTES = 4000


@dataclass(frozen=True)
class TestCommand:
    """A line for the shell. The caller has checked that this machine's person approved it."""

    __test__: ClassVar[bool] = False  # pytest takes it for a class of tests by its name

    command: str
    timeout_s: float

    def run_on(
        self, worktree: MergeWorktree, combination: Combination, commits: tuple[str, ...]
    ) -> Evidence:
        """Test a combination of `commits` in the merge worktree."""
        combined = combination.combined
        worktree.check_out(combined.commit)
        return self.run_in(
            worktree.path_for_tests(),
            commits=commits,
            onto=combination.onto.commit,
            combined=combined.commit,
            tree=combined.tree,
        )

    def run_in(
        self,
        directory: Path,
        *,
        commits: tuple[str, ...] = (),
        onto: str = "",
        combined: str = "",
        tree: str = "",
    ) -> Evidence:
        """Run it in `directory`. When it ends, times out or is interrupted, all processes that it
        started are killed.
        """
        started_ms, start = time.time_ns() // 1_000_000, time.monotonic()
        with tempfile.TemporaryFile() as output:
            status = run_command(
                ["/bin/sh", "-c", self.command],
                output,
                directory=directory,
                environment=neutral_environment(),
                limit_s=self.timeout_s,
            )
            return Evidence(
                command=self.command,
                commits=commits,
                onto=onto,
                combined=combined,
                tree=tree,
                status=status,
                started_ms=started_ms,
                duration_ms=round((time.monotonic() - start) * 1000),
                tail=read_tail(output, TAIL_BYTES),
            )
