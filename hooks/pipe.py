"""A hook's hot path: the client's JSON to the daemon, the daemon's answer to the client.

`launch` runs `main()` as `python -c … HOOKS EVENT ROOT SOURCE STATE` at every guarded tool call, so
the cost is the imports: C modules only here (`os` alone would be a tenth of a bare interpreter),
and `cold` only when the daemon gives no valid answer. Wire format: docs/protocol.md.

Whatever happens, the process ends within `TOTAL_S` with a valid answer and never with a traceback.

This is also the client of the daemon's socket for `wake`, and for `octet.fence.client`.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import posix
import sys
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    Answer = tuple[int, bytes, bytes]

GUARD = "PreToolUse"
TOTAL_S = {"SessionStart": 8.0, "SessionEnd": 1.2}  # SessionEnd: the client kills at 1.45 s
DEFAULT_TOTAL_S = 4.0
# The daemon's share of that time; the rest is for the failure policy, whose imports are slow on a
# busy machine.
DAEMON_SHARE = 0.75
REPLY_LIMIT = 1 << 24
# How what a daemon of any version says of a call on which it failed begins: a JSON string in the
# answer to the client, a line in that to git. Text of others that quotes it stands further in.
FAILED = b"Octet failed on this call"
FAILED_IN_JSON = b': "' + FAILED
HEADER_ENVIRONMENT = (
    (b"pid", b"CLAUDE_PID"),
    (b"project", b"CLAUDE_PROJECT_DIR"),
    (b"envfile", b"CLAUDE_ENV_FILE"),
    (b"plugin", b"CLAUDE_PLUGIN_ROOT"),
    (b"url", b"OCTET_REDIS_URL"),
)


class Expired(TimeoutError):
    """The alarm: this stage's time is over."""


class Malformed(ValueError):
    """What the daemon sent is no reply."""


class Failed(Malformed):
    """The daemon could not do its work; `reply` is what it said."""

    def __init__(self, reply: "Answer") -> None:
        self.reply = reply
        super().__init__("failed")


def main() -> "NoReturn":
    """Answer one hook and end the process, without the interpreter's own finalization: a sixth of
    its cost.
    """
    try:
        code, out, err = answer(*sys.argv[1:6])
    except BaseException as error:  # noqa: BLE001  the process's edge
        code, out, err = last_resort(sys.argv[2], error)
    Alarm.armed = False
    for fd, data in ((1, out), (2, err)):
        try:
            while data:
                data = data[posix.write(fd, data) :]
        except OSError:  # the client has gone, or gave us no such stream
            if sys.argv[2] == GUARD:
                code = 2  # a denial that cannot be said must not become a permission
    posix._exit(code)


def answer(hooks: str, event: str, root: str, source: str, state: str) -> "Answer":
    """The daemon's answer, else the failure policy's, within the event's time."""
    total = TOTAL_S.get(event, DEFAULT_TOTAL_S)
    end = monotonic() + total
    raw = None
    try:
        Alarm.set(total * DAEMON_SHARE)
        raw = read_all(0)
        posix.chdir(state)
        return ask(header(event, root, source) + raw)
    except Exception as error:  # noqa: BLE001  whatever it was, there is no answer yet
        Alarm.set(end - monotonic())
        import cold

        def ask_again() -> "Answer":
            return ask(header(event, root, source) + (raw or b""))

        call = cold.Call(hooks, event, root, state, raw, end, ask_again, Alarm.set)
        return cold.answer(call, error)


def last_resort(event: str, error: BaseException) -> "Answer":
    """The failure policy without the policy: not even `cold` could be run."""
    if event == GUARD:
        return (
            2,
            b"",
            b"Octet cannot check this call (%s), so it is blocked: run `octet doctor`.\n"
            % encode(type(error).__name__),
        )
    return 0, b'{"systemMessage": "Octet does not answer: run `octet doctor`."}\n', b""


class Alarm:
    """Raises `Expired` out of whichever call blocks: standard input, the socket, a disk."""

    armed = False

    @classmethod
    def set(cls, seconds: float) -> None:
        cls.armed = True
        _signal.signal(_signal.SIGALRM, cls.ring)
        _signal.setitimer(_signal.ITIMER_REAL, max(seconds, 0.001))

    @classmethod
    def ring(cls, _signal_number: int, _frame: object) -> None:
        if cls.armed:
            raise Expired


def read_all(fd: int) -> bytes:
    chunks = []
    while chunk := posix.read(fd, 65536):
        chunks.append(chunk)
    return b"".join(chunks)


def header(event: str, root: str, source: str) -> bytes:
    """The request's first part: `key=value` pairs, each ended by NUL, then a newline."""
    environment = posix.environ
    pairs = [
        b"v=1",
        b"event=" + encode(event),
        b"root=" + encode(root),
        b"source=" + encode(source),
    ]
    pairs += [
        key + b"=" + environment[name] for key, name in HEADER_ENVIRONMENT if name in environment
    ]
    pairs.append(b"ppid=%d" % posix.getppid())
    return b"\0".join(pairs) + b"\0\n"


def encode(argument: str) -> bytes:
    return argument.encode("utf-8", "surrogateescape")


def ask(request: bytes) -> "Answer":
    """Send one request to the daemon whose socket is in the working directory.

    Raises:
        OSError: there is no daemon, or it went away.
        Malformed: it sent no complete, valid reply.
        Failed: its reply says that it failed, as after an update that took its files away.
    """
    link = connect()
    send(link, request)
    reply = receive(link)
    link.close()
    if FAILED_IN_JSON in reply[1] or reply[2].startswith(FAILED):
        raise Failed(reply)
    return reply


def connect(timeout_s: "float | None" = None) -> "_socket.socket":
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    link.settimeout(timeout_s)
    try:
        link.connect("daemon.sock")  # the short name: a socket's path is bound to about 100 bytes
    except BaseException:
        link.close()
        raise
    return link


def send(link: "_socket.socket", request: bytes) -> None:
    link.sendall(request)
    link.shutdown(_socket.SHUT_WR)


def receive(link: "_socket.socket") -> "Answer":
    """The reply: all that comes up to the end of the stream."""
    reply = b""
    while chunk := link.recv(65536):
        reply += chunk
        if len(reply) > REPLY_LIMIT:
            raise Malformed("endless")
    return parse(reply)


def parse(reply: bytes) -> "Answer":
    """`<exit code> <stdout bytes> <stderr bytes>` and a newline, then those bytes, nothing more."""
    head, newline, body = reply.partition(b"\n")
    fields = head.split(b" ")
    if (
        not newline
        or len(fields) != 3
        or not all(field.isdigit() and len(field) < 9 for field in fields)
    ):
        raise Malformed("header")
    code, out, err = map(int, fields)
    if code not in (0, 2) or len(body) != out + err:
        raise Malformed("length")
    return code, body[:out], body[out:]
