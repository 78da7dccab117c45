"""Processes that outlive their starter: in a session of their own, with nothing of ours open."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

# The daemon outlives the session whose hook starts it, and serves all others: it must not carry
# that session's keys, ids, virtual environment or OCTET_REDIS_URL. Only variables of the user and
# of the machine pass.
_KEPT = re.compile(
    r"HOME|USER|LOGNAME|SHELL|PATH|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR"
    r"|OCTET_(HOME|LOG|DAEMON_IDLE_S|DAEMON_LEASE_S)|SSL_CERT_(FILE|DIR)"
    r"|XDG_(STATE|CACHE|CONFIG|DATA)_HOME|XDG_RUNTIME_DIR"
)


def launch(
    command: Sequence[str],
    inherited: Sequence[int] = (),
    *,
    environment: Mapping[str, str] | None = None,
    errors: int = subprocess.DEVNULL,
) -> int:
    """Start `command` in a session of its own; its pid.

    Only `inherited` descriptors stay open: a hook's pipes would block the tool that it guards.

    Args:
        environment: by default `daemon_environment`.
        errors: where its standard error goes.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        cwd="/",
        env=daemon_environment(os.environ) if environment is None else environment,
        pass_fds=inherited,
        start_new_session=True,
    )
    threading.Thread(target=process.wait, name="reaper", daemon=True).start()
    return process.pid


def daemon_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of `environment` that a daemon may keep."""
    kept = {name: value for name, value in environment.items() if _KEPT.fullmatch(name)}
    if home := kept.get("OCTET_HOME"):
        kept["OCTET_HOME"] = str(Path(home).absolute())
    return kept
