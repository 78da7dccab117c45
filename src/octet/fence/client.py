"""What git's hooks run when they have to ask: their question to the daemon, its answer back to git.

Imports C modules only, as `hooks/pipe.py` does and for the same reason; `octet.fence.cold` where
the daemon gives no answer. The wire is that of docs/architecture.md. `main` ends the process with 0
(go on) or 2 (refused) and one line on standard error at most; with `BROKEN`, silently, where it
cannot tell: then the hook decides.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import posix

WITHIN_S = 3.0
BROKEN = 3
_VARIABLES = (b"CLAUDE_PID", b"OCTET_AGENT", b"OCTET_ROLE", b"OCTET_FENCE_TOKEN")


def main(arguments: list[str]) -> None:
    """`ROOT STATE PROTECTED PID NEAR`; git's lines on standard input."""
    try:
        code, said = _answer(
            [argument.encode("utf-8", "surrogateescape") for argument in arguments]
        )
        while said:
            said = said[posix.write(2, said) :]
    except Exception:  # noqa: BLE001 - the process's edge: no trace in somebody's terminal
        code = BROKEN
    posix._exit(code)


def _answer(arguments: list[bytes]) -> tuple[int, bytes]:
    root, state, protected, pid, near = arguments
    lines = b""
    while chunk := posix.read(0, 65536):
        lines += chunk
    said = [posix.environ.get(name, b"") for name in _VARIABLES]
    payload = b"\0".join([protected, pid, near, posix.getcwdb(), *said, lines])
    header = [
        b"v=1",
        b"event=Fence",
        b"root=" + root,
        b"source=cli",
        b"url=" + posix.environ.get(b"OCTET_REDIS_URL", b""),
    ]
    _signal.signal(_signal.SIGALRM, _ring)
    _signal.setitimer(_signal.ITIMER_REAL, WITHIN_S)
    try:
        posix.chdir(state)  # the socket's short name: its path is bound to about 100 bytes
        return _ask(b"\0".join(header) + b"\0\n" + payload)
    except (OSError, ValueError):
        _signal.setitimer(_signal.ITIMER_REAL, 0)
        from octet.fence import cold

        return cold.answer(payload, root, state)


def _ring(_signal_number: int, _frame: object) -> None:
    raise TimeoutError


def _ask(request: bytes) -> tuple[int, bytes]:
    """Exit code and standard error that the daemon answers with.

    Raises:
        OSError: there is no daemon, it went away, or (TimeoutError) is too slow.
        ValueError: it sent no valid reply.
    """
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    link.connect("daemon.sock")
    link.sendall(request)
    link.shutdown(_socket.SHUT_WR)
    reply = b""
    while chunk := link.recv(65536):
        reply += chunk
    link.close()
    head, _, body = reply.partition(b"\n")
    code, out, err = map(int, head.split(b" "))
    if code not in (0, 2) or len(body) != out + err:
        raise ValueError("not a reply")
    return code, body[out:]
