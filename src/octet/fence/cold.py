"""The cold path of git's hooks: no daemon answered. Ask the `octet` command, which starts one; else
apply the failure policy.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from octet.base import dirs
from octet.fence import failsafe
from octet.project.config import FILE

# A daemon has to be started there, perhaps with its server.
WITHIN_S = 20.0


def answer(payload: bytes, root: bytes, state: bytes) -> tuple[int, bytes]:
    """Exit code and standard error for a question of `fence_client`."""
    where, home = os.fsdecode(root), Path(os.fsdecode(state))
    if not (
        Path(where) / FILE
    ).is_file():  # the command would take it for a repository that does not take part
        return _fail_safe(payload, where, "octet.toml is missing")
    # Not what git sets for its hooks: the daemon that is started here lives on, in any repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    if (
        dirs.state_dir() != home
    ):  # where the hook was installed, whatever an agent's environment says
        environment["OCTET_HOME"] = str(home)
    try:
        command = (
            (home / "interpreter")
            .read_text(encoding="utf-8", errors="surrogateescape")
            .split("\n")[2]
        )
        words = [command, "-C", where, "hook", "Fence"]
        done = subprocess.run(
            words,
            input=payload,
            env=environment,
            capture_output=True,
            timeout=WITHIN_S,
            check=False,
        )
        # With `octet: ` begins what the command itself complains about: then it has not come to an
        # answer.
        if done.returncode in (0, 2) and not done.stderr.startswith(b"octet: "):
            return done.returncode, done.stderr
        why = f"`octet hook` ends with {done.returncode}"
    except (OSError, IndexError, subprocess.TimeoutExpired) as error:
        why = f"the `octet` command cannot be run ({type(error).__name__})"
    return _fail_safe(payload, where, f"Octet's daemon does not answer and {why}")


def _fail_safe(payload: bytes, root: str, why: str) -> tuple[int, bytes]:
    reply = failsafe.decide(payload, root, why)
    return reply.exit_code, reply.stderr
