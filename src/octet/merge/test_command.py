"""The project's test command: run in a directory, killed with all that it started, its outcome kept
as evidence.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

from octet.base.commands import end_watcher, watch_line
from octet.git.program import clean_environment
from octet.merge.combination import Combination
from octet.merge.model import Evidence
from octet.merge.worktree import MergeWorktree

TAIL_BYTES = 4000
# The watcher waits for the end of a socket that nothing is written to. The end comes when the
# process that runs the tests closes its side or is killed; then the watcher kills what is left of
# the tests, so that nothing of them goes on in a directory that the next run clears. The watcher is
# no child of the tests, because their shell or `make` would wait for it.
_WATCHED = (
    "exec 3<&0 </dev/null; ( { read -r _ <&3; kill -9 0; } >/dev/null 2>&1 & ); exec 3<&-; exec "
    '/bin/sh -c "$1"'
)


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
        # Output goes to a file: processes that the tests leave running would hold a pipe open.
        with tempfile.TemporaryFile() as output, watch_line() as (line, ours):
            process = subprocess.Popen(
                ["/bin/sh", "-c", _WATCHED, "octet", self.command],
                cwd=directory,
                stdin=line.fileno(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=clean_environment(),
            )
            line.close()
            status = self._wait(process, ours)
            return Evidence(
                command=self.command,
                commits=commits,
                onto=onto,
                combined=combined,
                tree=tree,
                status=status,
                started_ms=started_ms,
                duration_ms=round((time.monotonic() - start) * 1000),
                tail=_tail(output),
            )

    def _wait(self, process: subprocess.Popen[bytes], watcher: socket.socket) -> int | None:
        try:
            return process.wait(self.timeout_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # After a time-out or an interrupt. It is not reaped yet, so the group is still its own.
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            end_watcher(watcher)


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - TAIL_BYTES))
    return output.read().decode(errors="replace")
