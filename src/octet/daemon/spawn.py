"""Starting the daemon's processes: their command lines, their environment, what they inherit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from octet.environment import real_python

SUPERVISOR = Path(__file__).with_name("supervisor.py")
WORKER = Path(__file__).with_name("worker.py")
CONTRACT = "1"
CHECK = "check"  # a worker's only argument, where it shall show that it can be run and no more

# The daemon outlives the session whose hook starts it and serves all others: it must not carry that session's keys, ids, virtual
# environment or OCTET_REDIS_URL. Only what is the user's or the machine's passes.
_KEPT = re.compile(
    r"HOME|USER|LOGNAME|SHELL|PATH|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|OCTET_(HOME|LOG|DAEMON_IDLE_S|DAEMON_LEASE_S)|SSL_CERT_(FILE|DIR)"
    r"|XDG_(STATE|CACHE|CONFIG|DATA)_HOME|XDG_RUNTIME_DIR"
)


def worker_command() -> list[str]:
    """The worker under this interpreter, as isolated and with the same bytecode directory as this process."""
    bytecode = ["-X", f"pycache_prefix={sys.pycache_prefix}"] if sys.pycache_prefix else []
    return [sys.executable, "-I" if sys.flags.isolated else "-P", *bytecode, str(WORKER)]


def supervisor_command(
    state: Path, lock: int, listener: int, worker: Sequence[str], *, adopt: tuple[int, int, int] = (-1, -1, -1)
) -> list[str]:
    """The supervisor on the bare interpreter below any virtual environment; `adopt` is a running worker's pid and the ends of its pipes."""
    numbers = [str(number) for number in (lock, listener, *adopt)]
    return [real_python(), "-I", "-S", str(SUPERVISOR), CONTRACT, str(state), *numbers, *worker]


def launch(command: Sequence[str], inherited: Sequence[int] = ()) -> int:
    """Start `command` in a session of its own with nothing open but `inherited`; return its pid.

    A hook's pipes kept open would block the tool that the hook guards.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=clean_environment(os.environ),
        pass_fds=inherited,
        start_new_session=True,
    )
    threading.Thread(target=process.wait, name="reaper", daemon=True).start()
    return process.pid


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of `environment` that a daemon may keep."""
    kept = {name: value for name, value in environment.items() if _KEPT.fullmatch(name)}
    if home := kept.get("OCTET_HOME"):
        kept["OCTET_HOME"] = str(Path(home).absolute())
    return kept
