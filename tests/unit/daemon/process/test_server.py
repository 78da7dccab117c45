"""Accepting and answering: many at once, none twice, none lost at the end, no other peer's."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from octet.daemon.process import server
from octet.daemon.process.server import Server, peer_uid
from octet.daemon.protocol import wire
from octet.daemon.protocol.wire import MalformedMessage, Reply, Request


class Service:
    """Echoes; a payload of "crash" raises, one of "wait" is answered when the gate opens."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.waiting = threading.Semaphore(0)

    def handle(self, request: Request) -> Reply:
        if request.payload == b"crash":
            raise RuntimeError("a bug")
        if request.payload == b"wait":
            self.waiting.release()
            assert self.gate.wait(20)
        return Reply(0, request.payload)


def control(request: Request) -> Reply:
    return Reply(0, b"control " + request.event.encode())


def failure(_request: Request, why: str) -> Reply:
    return Reply(2, b"", why.encode())


class Running:
    """A server on a socket of its own, with all that it needs."""

    def __init__(self, directory: Path, *, threads: int = 4) -> None:
        self.path = str(directory / "s")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(512)
        self.listener.setblocking(False)
        self.service = Service()
        self.server = self.another(threads)
        self.server.start()

    def another(self, threads: int = 4) -> Server:
        """A server on the same listening socket, as a successor has it."""
        return Server(self.listener, self.service, control, failure, threads=threads)

    def ask(self, payload: bytes = b"{}", event: str = "PreToolUse") -> Reply:
        return wire.call(self.path, Request(event, payload=payload), 20)


@pytest.fixture
def running(short_directory: Path) -> Iterator[Running]:
    running = Running(short_directory)
    yield running
    running.service.gate.set()
    running.server.stop_accepting(leave_backlog=True)
    assert running.server.drain(20)
    running.listener.close()


def test_each_of_many_gets_its_own_answer(running: Running) -> None:
    """Two hundred at once, on four threads."""
    payloads = [str(number).encode() for number in range(200)]
    with ThreadPoolExecutor(50) as pool:
        assert [reply.stdout for reply in pool.map(running.ask, payloads)] == payloads
    assert running.server.requests == 200
    running.server.stop_accepting(leave_backlog=True)
    assert running.server.drain(20)
    assert running.server.in_flight == 0


def test_one_that_takes_long_holds_up_nobody(running: Running) -> None:
    """As long as a thread is left."""
    with ThreadPoolExecutor(3) as pool:
        slow = [pool.submit(running.ask, b"wait") for _ in range(3)]
        for _ in slow:
            assert running.service.waiting.acquire(timeout=20)
        assert running.ask(b"quick").stdout == b"quick"
        running.service.gate.set()
        assert [future.result().stdout for future in slow] == [b"wait"] * 3


def test_a_bug_costs_one_answer(running: Running) -> None:
    """The failure policy's reply, and every thread lives on."""
    for _ in range(10):
        assert running.ask(b"crash").exit_code == 2
    assert running.ask().exit_code == 0


def test_control_verbs_do_not_count_as_hooks(running: Running) -> None:
    """Else a person who looks at the status would keep an idle daemon alive."""
    assert running.ask(event="control.ping").stdout == b"control control.ping"
    assert running.server.requests == 0


def test_too_large_a_request_is_answered_by_the_failure_policy(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not skipped: who could make the input large could pass the guard."""
    monkeypatch.setattr(wire, "PAYLOAD_LIMIT", 1 << 20)
    assert running.ask(b"x" * (2 << 20)) == Reply(
        2, b"", b"Octet cannot read this call: the call's input is over 1 MB"
    )


@pytest.mark.parametrize("data", [b"", b"garbage", b"v=1\0event=Stop\0"])
def test_a_peer_that_talks_nonsense_gets_no_reply(data: bytes, running: Running) -> None:
    """And costs no other peer anything."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(running.path)
        link.sendall(data)
        link.shutdown(socket.SHUT_WR)
        assert link.recv(100) == b""
    assert running.ask().exit_code == 0


def test_a_peer_that_goes_away_is_no_trouble(running: Running) -> None:
    """Before its answer, on every thread."""
    for _ in range(8):
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(running.path)
            link.sendall(wire.encode_request(Request("Stop")))
    assert running.ask().exit_code == 0


def test_a_peer_that_says_nothing_is_left_alone_after_a_while(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thread is free again when its time is over."""
    monkeypatch.setattr(server, "IO_TIMEOUT_S", 0.1)
    links = [socket.socket(socket.AF_UNIX) for _ in range(4)]
    for link in links:
        link.connect(running.path)
    assert running.ask().exit_code == 0
    for link in links:
        link.close()


def test_another_user_is_refused(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory is private already; this is the second lock."""
    own = os.getuid()
    monkeypatch.setattr(server.os, "getuid", lambda: own + 1)  # type: ignore[attr-defined]
    with pytest.raises((MalformedMessage, ConnectionError)):
        running.ask()


def test_the_peers_user_is_known() -> None:
    """By the system's word."""
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert peer_uid(one) == os.getuid()


def test_a_successor_gets_what_comes_after(running: Running) -> None:
    """What the first has taken it answers, what it has not waits in the socket's backlog."""
    with ThreadPoolExecutor(2) as pool:
        taken = pool.submit(running.ask, b"wait")
        assert running.service.waiting.acquire(timeout=20)
        running.server.stop_accepting(leave_backlog=True)
        left = pool.submit(running.ask, b"left")
        successor = running.another()
        successor.start()
        assert left.result().stdout == b"left"
        assert not running.server.drain(0.05)
        running.service.gate.set()
        assert taken.result().stdout == b"wait"
        assert running.server.drain(20)
        assert running.server.requests == successor.requests == 1
        successor.stop_accepting(leave_backlog=True)
        assert successor.drain(20)


def test_without_a_successor_the_backlog_is_answered(running: Running) -> None:
    """Who was queueing when the end began is not turned away."""
    with ThreadPoolExecutor(20) as pool:
        busy = [pool.submit(running.ask, b"wait") for _ in range(4)]
        for _ in busy:
            assert running.service.waiting.acquire(timeout=20)
        links = [socket.socket(socket.AF_UNIX) for _ in range(10)]
        for link in links:
            link.connect(running.path)
            link.sendall(wire.encode_request(Request("Stop", payload=b"queued")))
            link.shutdown(socket.SHUT_WR)
        running.server.stop_accepting(leave_backlog=False)
        running.service.gate.set()
        assert [future.result().stdout for future in busy] == [b"wait"] * 4
        for link in links:
            assert link.recv(100).endswith(b"queued")
            link.close()
        assert running.server.drain(20)
