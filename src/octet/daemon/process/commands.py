"""The command lines of the daemon's two processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from octet.runtime.environment import real_python

DAEMON = Path(__file__).parents[1]
SUPERVISOR = DAEMON.joinpath("supervisor.py")
WORKER = DAEMON.joinpath("worker.py")
CONTRACT = "1"
# A worker's only argument, where it only shows that it can be run.
CHECK = "check"


def worker_command() -> list[str]:
    """The worker under this interpreter, isolated and caching bytecode as this process does."""
    bytecode = ["-X", f"pycache_prefix={sys.pycache_prefix}"] if sys.pycache_prefix else []
    return [sys.executable, "-I" if sys.flags.isolated else "-P", *bytecode, str(WORKER)]


def supervisor_command(
    state: Path,
    lock: int,
    listener: int,
    worker: Sequence[str],
    *,
    adopt: tuple[int, int, int] = (-1, -1, -1),
) -> list[str]:
    """The supervisor on the bare interpreter below any virtual environment. `adopt` is a running
    worker's pid and the ends of its pipes.
    """
    numbers = [str(number) for number in (lock, listener, *adopt)]
    return [real_python(), "-I", "-S", str(SUPERVISOR), CONTRACT, str(state), *numbers, *worker]
