"""The framing between hooks, the command line and the daemon, over the unix socket `daemon.sock`.

    request   v=1 NUL event=PreToolUse NUL root=/home/ann/shop NUL … NUL \\n
              then the payload, then end of stream
    reply     0 57 0 \\n
              then 57 bytes for standard output and 0 for standard error, then end of stream

NUL ends every pair, a newline after it the header: a path may hold a newline, never a NUL.
`hooks/pipe.py` speaks the same without this module, which it could not afford to import;
`tests/hooks` checks that the two agree.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

VERSION = "1"
# The command line's event: serve this project from now on (heartbeats, sweep, flushes of the
# embedded server).
SERVE = "Serve"
# A waiter's event (hooks/wake.py). It is answered when its session is to be woken, with exit code 2
# and a line, or with 0 when the waiter is no longer needed.
WAKE = "Wake"
HEADER_LIMIT = 1 << 17
PAYLOAD_LIMIT = 64 << 20
REPLY_LIMIT = 16 << 20

# Seconds in which the hook wants an answer; then it applies the failure policy. The daemon's work
# must end earlier. Claude Code gives SessionEnd 1.5 s in all.
ANSWER_WITHIN_S = {"SessionStart": 5.7, "SessionEnd": 0.8}
DEFAULT_ANSWER_WITHIN_S = 2.8

_CHUNK = 1 << 16


class MalformedMessage(Exception):
    """A request or reply that breaks the framing."""


class TooLarge(Exception):
    """A request's payload is over `PAYLOAD_LIMIT`; it carries the request without it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        super().__init__(f"the call's input is over {PAYLOAD_LIMIT >> 20} MB")


@dataclass(frozen=True)
class Request:
    """What one hook, or the command line, asks. The client's variables come along, because the
    daemon serves many sessions and must not use its own environment for any of them.
    """

    event: str
    root: str = ""  # of the project
    source: str = "cli"  # or plugin, dropin
    payload: bytes = b""
    pid: int = 0  # the client's process (Claude Code's), 0 when unknown
    project: str = ""  # its CLAUDE_PROJECT_DIR, "" when unset
    envfile: str = ""  # its CLAUDE_ENV_FILE
    plugin: str = ""  # its CLAUDE_PLUGIN_ROOT
    redis_url: str = ""  # its OCTET_REDIS_URL
    deadline: float = 0.0  # by `time.monotonic`

    def remaining_s(self) -> float:
        """Seconds that are left to answer in, at least 0."""
        return max(0.0, self.deadline - time.monotonic())


@dataclass(frozen=True)
class Reply:
    """What the hook's process does: exit code 0 or 2, and bytes for its two streams."""

    exit_code: int = 0
    stdout: bytes = b""
    stderr: bytes = b""


@dataclass(frozen=True)
class Later(Reply):
    """Not answered yet: `take` gets the connection, and answers and closes it later."""

    take: Callable[[socket.socket], None] = socket.socket.close


def encode_request(request: Request) -> bytes:
    """Header and payload, ready to send."""
    pairs = {
        "v": VERSION,
        "event": request.event,
        "root": request.root,
        "source": request.source,
        "pid": str(request.pid),
        "project": request.project,
        "envfile": request.envfile,
        "plugin": request.plugin,
        "url": request.redis_url,
    }
    header = b"".join(
        os.fsencode(f"{key}={value}") + b"\0" for key, value in pairs.items() if value
    )
    return header + b"\n" + request.payload


def decode_header(header: bytes) -> Request:
    """The request without its payload. `header` ends before the closing NUL and newline; unknown
    keys are for newer daemons.

    Raises:
        MalformedMessage: not pairs, another wire version, or no event.
    """
    pairs: dict[str, str] = {}
    for pair in header.split(b"\0"):
        key, equals, value = pair.partition(b"=")
        if not equals:
            raise MalformedMessage("a header field without '='")
        pairs[os.fsdecode(key)] = os.fsdecode(value)
    if pairs.get("v") != VERSION or not pairs.get("event"):
        raise MalformedMessage("another wire version, or no event")
    event = pairs["event"]
    return Request(
        event=event,
        root=pairs.get("root", ""),
        source=pairs.get("source", "cli"),
        pid=_pid(pairs.get("pid", "")) or _pid(pairs.get("ppid", "")),
        project=pairs.get("project", ""),
        envfile=pairs.get("envfile", ""),
        plugin=pairs.get("plugin", ""),
        redis_url=pairs.get("url", ""),
        deadline=time.monotonic() + ANSWER_WITHIN_S.get(event, DEFAULT_ANSWER_WITHIN_S),
    )


def receive_request(link: socket.socket) -> Request:
    """Read a request to its end of stream; the socket's timeout limits a wait, `deadline` all.

    Raises:
        MalformedMessage: the framing is broken. TooLarge: the payload was read and dropped, so that
        the client is not cut off while it sends. OSError: the peer went away or was too slow.
    """
    data = link.recv(_CHUNK)
    while b"\0\n" not in data:
        chunk = link.recv(_CHUNK)
        if not chunk or len(data) > HEADER_LIMIT:
            raise MalformedMessage("no header")
        data += chunk
    header, _, payload = data.partition(b"\0\n")
    request = decode_header(header)
    return replace(request, payload=_receive_payload(link, payload, request))


def encode_reply(reply: Reply) -> bytes:
    """The reply as sent."""
    return (
        b"%d %d %d\n" % (reply.exit_code, len(reply.stdout), len(reply.stderr))
        + reply.stdout
        + reply.stderr
    )


def decode_reply(data: bytes) -> Reply:
    """The reply that `data`, the whole stream, holds.

    Raises:
        MalformedMessage: it holds none, less than one, or more.
    """
    head, newline, body = data.partition(b"\n")
    fields = head.split(b" ")
    if (
        not newline
        or len(fields) != 3
        or not all(field.isdigit() and len(field) < 9 for field in fields)
    ):
        raise MalformedMessage("not a reply's first line")
    exit_code, out, err = map(int, fields)
    if exit_code not in (0, 2) or len(body) != out + err:
        raise MalformedMessage("a reply of another length than it says")
    return Reply(exit_code, body[:out], body[out:])


def call(path: str, request: Request, timeout_s: float) -> Reply:
    """Send `request` to the daemon at socket `path` and wait for its reply, `timeout_s` at most.

    Raises:
        OSError: there is no daemon, it went away, or (TimeoutError) did not answer in time.
        MalformedMessage: what came is no reply.
    """
    end = time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(timeout_s)
        link.connect(path)
        link.sendall(encode_request(request))
        link.shutdown(socket.SHUT_WR)
        data = bytearray()
        while len(data) <= REPLY_LIMIT:
            link.settimeout(max(0.001, end - time.monotonic()))
            chunk = link.recv(_CHUNK)
            if not chunk:
                break
            data += chunk
    return decode_reply(bytes(data))


def _receive_payload(link: socket.socket, first: bytes, request: Request) -> bytes:
    chunks, size = [first], len(first)
    while chunk := link.recv(_CHUNK):
        size += len(chunk)
        if size > PAYLOAD_LIMIT:
            chunks.clear()
        else:
            chunks.append(chunk)
        if time.monotonic() > request.deadline:
            raise TimeoutError("the request came too slowly")
    if size > PAYLOAD_LIMIT:
        raise TooLarge(request)
    return b"".join(chunks)


def _pid(text: str) -> int:
    return int(text) if text.isdigit() and len(text) < 11 else 0
