"""What git's hooks run when they have to ask: their question to the daemon, its answer back to git.

Asks by `hooks/pipe.py`, the one client of the daemon's socket, and like it imports C modules only;
`octet.fence.cold` where the daemon gives no answer. `main` ends the process with 0 (go on) or 2
(refused) and one line on standard error at most; with `BROKEN`, silently, where it cannot tell:
then the hook decides.
"""

import posix
import sys

WITHIN_S = 3.0
BROKEN = 3
_VARIABLES = (b"CLAUDE_PID", b"OCTET_AGENT", b"OCTET_ROLE", b"OCTET_FENCE_TOKEN")


def main(arguments: list[str]) -> None:
    """`ROOT STATE PROTECTED PID NEAR`; git's lines on standard input."""
    try:
        code, said = _answer(*arguments)
        while said:
            said = said[posix.write(2, said) :]
    except Exception:  # noqa: BLE001 - the process's edge: no traceback in a terminal
        code = BROKEN
    posix._exit(code)


def _answer(root: str, state: str, protected: str, pid: str, near: str) -> tuple[int, bytes]:
    hooks = _hooks_directory()
    sys.path.insert(0, hooks)
    import pipe

    lines = pipe.read_all(0)
    facts = [pipe.encode(fact) for fact in (protected, pid, near)]
    variables = [posix.environ.get(name, b"") for name in _VARIABLES]
    payload = b"\0".join([*facts, posix.getcwdb(), *variables, lines])
    try:
        pipe.Alarm.set(WITHIN_S)
        posix.chdir(state)
        code, _, said = pipe.ask(pipe.header("Fence", root, "cli") + payload)
        return code, said
    except (OSError, pipe.Malformed):
        pipe.Alarm.armed = False
        from octet.fence import cold

        return cold.answer(payload, hooks, root, state)


def _hooks_directory() -> str:
    """Inside the installed package, else in the checkout around it; see `install.plugin`."""
    package = __file__.rpartition("/fence/")[0]
    try:
        inside = f"{package}/_plugin/hooks"
        posix.stat(inside)
        return inside
    except OSError:
        return f"{package}/../../hooks"
