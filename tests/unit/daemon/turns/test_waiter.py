"""A waiter's request, its connection, and what its client notes of itself."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from octet.daemon.protocol.wire import Reply, Request, decode_reply
from octet.daemon.turns.waiter import Waiter, read_client_status


@pytest.fixture
def links() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def waiter(link: socket.socket, payload: bytes = b"5.5\0Stop\0/status") -> Waiter:
    return Waiter.of(Request("Wake", "/shop", payload=payload, pid=7, redis_url="u"), link)


def test_a_request_is_read(links: tuple[socket.socket, socket.socket]) -> None:
    """When it started, by what event, and where its client notes its status."""
    found = waiter(links[0])
    assert (found.place, found.pid, found.since) == (("/shop", "u"), 7, 5.5)
    assert (found.event, found.status_file) == ("Stop", "/status")
    assert waiter(links[0], b"1e99\0Stop\0").since <= time.monotonic()
    for payload in (b"", b"x\0Stop\0", b"1\0Stop"):
        with pytest.raises(ValueError, match=r"unpack|convert"):
            waiter(links[0], payload)


def test_it_is_answered_once(links: tuple[socket.socket, socket.socket]) -> None:
    """And closed; one that has gone is no success."""
    found = waiter(links[0])
    assert not found.is_gone
    assert found.answer(Reply(2, b"", b"come"))
    assert decode_reply(links[1].recv(100)) == Reply(2, b"", b"come")
    assert links[1].recv(1) == b""
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        gone = waiter(ours)
        assert gone.is_gone
        assert not gone.answer(Reply())


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('{"status": "idle", "statusUpdatedAt": 12.5}', ("idle", 12.5)),
        ('{"status": "busy"}', ("busy", 0.0)),
        ('{"status": "busy", "statusUpdatedAt": "x"}', ("", 0.0)),
        ("{}", ("", 0.0)),
        ("[]", ("", 0.0)),
        ("{", ("", 0.0)),
    ],
)
def test_a_client_s_note(tmp_path: Path, text: str, status: tuple[str, float]) -> None:
    """What cannot be read says nothing."""
    path = tmp_path / "7.json"
    assert read_client_status(str(path)) == ("", 0.0)
    path.write_text(text)
    assert read_client_status(str(path)) == status
