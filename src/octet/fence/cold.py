"""The cold path of git's hooks: the daemon gave no answer. Start it and ask again, else apply the
failure policy.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from octet.base import dirs
from octet.fence import failsafe
from octet.project.config import FILE

# The daemon may have to be started, perhaps with its server.
WITHIN_S = 20.0


def answer(payload: bytes, hooks: str, root: str, state: str) -> tuple[int, bytes]:
    """Exit code and standard error for a question of `fence.client`; `hooks` is on `sys.path`."""
    if not (Path(root) / FILE).is_file():  # the daemon would take it for one that takes no part
        return _fail_safe(payload, root, "octet.toml is missing")
    if dirs.state_dir() != Path(state):  # the hook's, whatever an agent's environment says
        os.environ["OCTET_HOME"] = state
    import cold
    import pipe

    def ask() -> tuple[int, bytes, bytes]:
        return pipe.ask(pipe.header("Fence", root, "cli") + payload)

    end = time.monotonic() + WITHIN_S
    call = cold.Call(hooks, "Fence", root, state, payload, end, ask, pipe.Alarm.set)
    try:
        code, _, said = cold.ask_started(call, WITHIN_S)
        return code, said
    except cold.Unavailable as unavailable:
        return _fail_safe(payload, root, str(unavailable))


def _fail_safe(payload: bytes, root: str, why: str) -> tuple[int, bytes]:
    reply = failsafe.decide(payload, root, why)
    return reply.exit_code, reply.stderr
