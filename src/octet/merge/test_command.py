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
from typing import IO

from octet.base.commands import end_watcher, watch_line
from octet.git.program import clean_environment

TAIL_BYTES = 4000
# The watcher waits for the end of a socket that nobody writes to. That comes when the process that
# runs the tests closes its side or is killed, and then nothing of the tests goes on in a directory
# that the next run clears. The watcher is no child of the tests, whose shell or `make` would wait
# for it.
_WATCHED = (
    "exec 3<&0 </dev/null; ( { read -r _ <&3; kill -9 0; } >/dev/null 2>&1 & ); exec 3<&-; exec "
    '/bin/sh -c "$1"'
)


@dataclass(frozen=True)
class Evidence:
    """One run of the test command, to be kept with its task.

    Args:
        commits: the submitted commits that were combined.
        onto: where the branch was.
        combined, tree: the commit that was tested, and its tree.
        status: exit status; negative for a signal, None where the time ran out.
        tail: the last bytes of the output, at most `TAIL_BYTES`.
    """

    command: str
    commits: tuple[str, ...]
    onto: str
    combined: str
    tree: str
    status: int | None
    started_ms: int
    duration_ms: int
    tail: str

    @property
    def passed(self) -> bool:
        return self.status == 0


@dataclass(frozen=True)
class Suite:
    """The test command, a line for the shell. The caller has checked that this machine trusts it."""

    command: str
    timeout_s: float

    def run(
        self,
        directory: Path,
        *,
        commits: tuple[str, ...] = (),
        onto: str = "",
        combined: str = "",
        tree: str = "",
    ) -> Evidence:
        """Run it in `directory`. At its end, at the end of the time and on an interrupt, all that
        it started is killed.
        """
        started_ms, start = time.time_ns() // 1_000_000, time.monotonic()
        # Output goes to a file: a pipe would be held open by whatever the tests leave running.
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
            duration_ms = round((time.monotonic() - start) * 1000)
            return Evidence(
                self.command,
                commits,
                onto,
                combined,
                tree,
                status,
                started_ms,
                duration_ms,
                _tail(output),
            )

    def _wait(self, process: subprocess.Popen[bytes], watcher: socket.socket) -> int | None:
        try:
            return process.wait(self.timeout_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if (
                process.returncode is None
            ):  # time-out or interrupt; not reaped, so the group is still its own
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            end_watcher(watcher)


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - TAIL_BYTES))
    return output.read().decode(errors="replace")
