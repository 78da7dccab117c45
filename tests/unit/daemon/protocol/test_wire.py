"""The framing: what is sent is what is read, and nothing else is taken for a message."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octet.daemon.protocol import wire
from octet.daemon.protocol.wire import MalformedMessage, Reply, Request

PATHS = st.binary(max_size=60).filter(lambda data: b"\0" not in data).map(os.fsdecode)


def receive(data: bytes) -> Request:
    """What the daemon reads of these bytes and an end of stream."""
    client, server = socket.socketpair()

    def send() -> None:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    with client, server:
        sender = threading.Thread(target=send)
        sender.start()
        try:
            return wire.receive_request(server)
        finally:
            sender.join()


@given(root=PATHS, project=PATHS, payload=st.binary(max_size=200), pid=st.integers(0, 2**31))
def test_a_request_comes_as_it_was_sent(root: str, project: str, payload: bytes, pid: int) -> None:
    """Paths may hold anything but NUL, payloads anything at all."""
    sent = Request(
        "Stop", root, "dropin", payload, pid=pid, project=project, redis_url="redis://localhost"
    )
    got = receive(wire.encode_request(sent))
    assert (got.event, got.root, got.source, got.payload, got.pid) == (
        "Stop",
        root,
        "dropin",
        payload,
        pid,
    )
    assert (got.project, got.redis_url, got.plugin, got.envfile) == (
        project,
        "redis://localhost",
        "",
        "",
    )


def test_a_large_payload_comes_whole() -> None:
    """Ten megabytes, in many pieces."""
    payload = os.urandom(1 << 20) * 10
    assert receive(wire.encode_request(Request("Stop", payload=payload))).payload == payload


def test_each_event_has_its_deadline() -> None:
    """SessionEnd is short, because the client's patience is."""
    short, usual, long = (
        receive(wire.encode_request(Request(event))).remaining_s()
        for event in ("SessionEnd", "Stop", "SessionStart")
    )
    assert 0 < short < usual < long


def test_unknown_fields_are_for_newer_versions() -> None:
    """A newer pipe may say more than this daemon understands."""
    assert receive(b"v=1\0event=Stop\0colour=blue\0\n{}").payload == b"{}"


def test_the_parent_stands_in_for_a_client_that_does_not_say_its_pid() -> None:
    """`ppid` is the hook's parent; a pid that is no number is none."""
    assert receive(b"v=1\0event=Stop\0ppid=12\0\n").pid == 12
    assert receive(b"v=1\0event=Stop\0pid=7\0ppid=12\0\n").pid == 7
    assert receive(b"v=1\0event=Stop\0pid=-1\0ppid=\0\n").pid == 0


NO_REQUESTS = [
    b"",
    b"\n",
    b"{}",
    b"\0\n",
    b"v=1\0\n",
    b"v=2\0event=Stop\0\n",
    b"v=1\0event=\0\n",
    b"v=1\0event=Stop\n",
    b"x\0\n",
]


@pytest.mark.parametrize("data", NO_REQUESTS)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    """Not with an answer to guess from, but with an error."""
    with pytest.raises(MalformedMessage):
        receive(data)


def test_a_header_without_end_is_refused() -> None:
    """Before it has filled the memory."""
    with pytest.raises((MalformedMessage, BrokenPipeError)):
        receive(b"v=1\0event=" + b"x" * (wire.HEADER_LIMIT + (1 << 17)))


def test_too_large_a_payload_is_read_to_its_end_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender is not cut off, and the answering side knows the event."""
    monkeypatch.setattr(wire, "PAYLOAD_LIMIT", 1 << 20)
    with pytest.raises(wire.TooLarge, match="over 1 MB") as caught:
        receive(wire.encode_request(Request("PreToolUse", "/r", payload=b"x" * (3 << 20))))
    assert (
        caught.value.request.event,
        caught.value.request.root,
        caught.value.request.payload,
    ) == ("PreToolUse", "/r", b"")


@given(
    exit_code=st.sampled_from([0, 2]), stdout=st.binary(max_size=50), stderr=st.binary(max_size=50)
)
def test_a_reply_comes_as_it_was_sent(exit_code: int, stdout: bytes, stderr: bytes) -> None:
    """And no shorter or longer one is taken for it."""
    reply = Reply(exit_code, stdout, stderr)
    data = wire.encode_reply(reply)
    assert wire.decode_reply(data) == reply
    for wrong in (data[:-1], data + b"x"):
        with pytest.raises(MalformedMessage):
            wire.decode_reply(wrong)


def serve_once(path: Path, behave: Callable[[socket.socket], None]) -> threading.Thread:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with listener, listener.accept()[0] as link:
            behave(link)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_a_call_gets_its_reply(short_directory: Path) -> None:
    """From a daemon that reads to the end and then answers."""

    def behave(link: socket.socket) -> None:
        link.sendall(wire.encode_reply(Reply(0, wire.receive_request(link).payload)))

    thread = serve_once(short_directory / "s", behave)
    assert wire.call(str(short_directory / "s"), Request("Stop", payload=b"hello"), 10) == Reply(
        0, b"hello"
    )
    thread.join()


def test_a_call_ends_in_time_whatever_the_daemon_does(short_directory: Path) -> None:
    """The time-out bounds the whole call, not each byte."""
    done = threading.Event()

    def trickle(link: socket.socket) -> None:
        while not done.wait(0.01):
            try:
                link.sendall(b"0")
            except BrokenPipeError:
                return

    thread = serve_once(short_directory / "s", trickle)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        wire.call(str(short_directory / "s"), Request("Stop"), 0.2)
    assert time.monotonic() - started < 5
    done.set()
    thread.join()
