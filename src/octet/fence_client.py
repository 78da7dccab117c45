"""What git's hooks run when they have to ask: on the bare interpreter, to the daemon, else to the `octet` command.

`main` ends the process with 0 (go on) or 2 (refused) and one line on standard error at most; with `BROKEN`, silently, where it cannot
tell: then the hook decides.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from octet import dirs
from octet.daemon import wire
from octet.guard import failsafe, fence
from octet.guard.reply import Reply

# The daemon has to be started there, perhaps with its server.
COMMAND_WITHIN_S = 20.0
BROKEN = 3


def main(arguments: Sequence[str]) -> None:
    """`HOOK ROOT STATE PROTECTED PID NEAR`; git's lines on standard input."""
    try:
        reply = _answer(*arguments)
        sys.stderr.buffer.write(reply.stderr)
        sys.stderr.flush()
    except Exception:  # noqa: BLE001 - the process's edge: no trace in somebody's terminal
        os._exit(BROKEN)
    os._exit(reply.exit_code)


def _answer(hook: str, root: str, state: str, protected: str, pid: str, near: str) -> Reply:
    lines = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    attempt = fence.attempt_from(os.environ, hook, lines, protected, pid, str(Path.cwd()), near=bool(near))
    return ask(attempt, root, Path(state))


def ask(attempt: fence.Attempt, root: str, state: Path) -> Reply:
    """The daemon's answer; else the command's, which starts one; else what the failure policy says."""
    payload = fence.to_json(attempt)
    request = wire.Request(fence.EVENT, root, payload=payload, redis_url=os.environ.get("OCTET_REDIS_URL", ""))
    os.chdir(state)  # the socket's short name: its path is bound to about 100 bytes
    try:
        answer = wire.call("daemon.sock", request, wire.DEFAULT_ANSWER_WITHIN_S)
        return Reply(answer.exit_code, answer.stdout, answer.stderr)
    except (OSError, wire.MalformedMessage):
        return _run_command(payload, root, state)


def _run_command(payload: bytes, root: str, state: Path) -> Reply:
    # Not what git sets for its hooks: the daemon that is started here lives on, in any repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    if dirs.state_dir() != state:  # where the hook was installed, whatever an agent's environment says
        environment["OCTET_HOME"] = str(state)
    try:
        command = (state / "interpreter").read_text(encoding="utf-8", errors="surrogateescape").split("\n")[2]
        words = [command, "-C", root, "hook", fence.EVENT]
        done = subprocess.run(words, input=payload, env=environment, capture_output=True, timeout=COMMAND_WITHIN_S, check=False)
        # With `octet: ` begins what the command itself complains about: then it has not come to an answer.
        if done.returncode in (0, 2) and not done.stderr.startswith(b"octet: "):
            return Reply(done.returncode, b"", done.stderr)
        why = f"`octet hook` ends with {done.returncode}"
    except (OSError, IndexError, subprocess.TimeoutExpired) as error:
        why = f"the `octet` command cannot be run ({type(error).__name__})"
    return failsafe.decide_fence(payload, root, f"Octet's daemon does not answer and {why}")
