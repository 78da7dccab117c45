"""Accepts hooks on the daemon's socket and answers each in one of a fixed number of threads.

Leader and followers: one thread waits for a connection and answers it itself, while the next thread
waits. An acceptor that hands connections to a pool would cost a thread switch a hook, as much as
all the rest of a trivial answer.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol

from octet.daemon.protocol import wire
from octet.daemon.protocol.wire import Reply, Request

THREADS = 32
# Limits each wait for a peer that has stopped sending or reading; the request's deadline limits a
# peer that trickles.
IO_TIMEOUT_S = 5.0
CONTROL = "control."

_log = logging.getLogger(__name__)


class Handler(Protocol):
    """Answers a hook's event, as `octet.daemon.hooks.service.HookService` does."""

    def handle(self, request: Request) -> Reply: ...


class Server:
    """Answers requests on `listener`, a listening, non-blocking unix socket.

    `control` answers the command line's own verbs, `failure` stands in for a `handler` that raises.
    """

    def __init__(
        self,
        listener: socket.socket,
        handler: Handler,
        control: Callable[[Request], Reply],
        failure: Callable[[Request, str], Reply],
        *,
        threads: int = THREADS,
    ) -> None:
        self._listener = listener
        self._handler = handler
        self._control = control
        self._failure = failure
        self._threads = [
            threading.Thread(target=self._serve, name=f"hook-{n}", daemon=True)
            for n in range(threads)
        ]
        self._turn = threading.Lock()
        self._count = threading.Lock()
        self._wake_read, self._wake_write = os.pipe()
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        self._poll.register(self._wake_read, select.POLLIN)
        self._stopping = False
        self._leave_backlog = False
        self.in_flight = 0
        self.requests = 0
        self.last_request = time.monotonic()

    def start(self) -> None:
        """Begin to answer."""
        for thread in self._threads:
            thread.start()

    def stop_accepting(self, *, leave_backlog: bool) -> None:
        """Take only the connections that wait already; with `leave_backlog` not even those: a
        successor answers them.
        """
        self._leave_backlog = leave_backlog
        self._stopping = True
        os.write(self._wake_write, b".")

    def drain(self, timeout_s: float) -> bool:
        """After `stop_accepting`, wait until every request that was taken is answered."""
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _serve(self) -> None:
        while (link := self._accept()) is not None:
            try:
                with link:
                    self._answer(link)
            except Exception:  # noqa: BLE001  later hooks would miss a thread that ends
                _log.exception("a connection was dropped")
            finally:
                with self._count:
                    self.in_flight -= 1

    def _accept(self) -> socket.socket | None:
        with self._turn:
            while True:
                self._poll.poll()
                if self._stopping and self._leave_backlog:
                    return None
                try:
                    link, _ = self._listener.accept()
                except BlockingIOError:
                    if self._stopping:
                        return None
                    continue  # the peer has gone again
                except OSError as error:  # out of descriptors: others have to end first
                    _log.error("cannot accept: %s", error)
                    time.sleep(0.05)
                    continue
                with self._count:
                    self.in_flight += 1
                return link

    def _answer(self, link: socket.socket) -> None:
        link.settimeout(IO_TIMEOUT_S)
        if peer_uid(link) != os.getuid():
            _log.warning("refused a connection of uid %d", peer_uid(link))
            return
        try:
            reply = self._reply(link)
            if isinstance(reply, wire.Later):
                reply.take(link.dup())
            else:
                link.sendall(wire.encode_reply(reply))
        except (wire.MalformedMessage, OSError) as error:
            _log.info("no answer: %s", error or type(error).__name__)

    def _reply(self, link: socket.socket) -> Reply:
        try:
            return self._decide(wire.receive_request(link))
        except wire.TooLarge as error:
            return self._failure(error.request, f"Octet cannot read this call: {error}")

    def _decide(self, request: Request) -> Reply:
        if request.event.startswith(CONTROL):
            return self._control(request)
        self.requests += 1
        self.last_request = time.monotonic()
        try:
            return self._handler.handle(request)
        except Exception:  # noqa: BLE001  the process's edge: log it and apply the failure policy
            _log.exception("%s in %s failed", request.event, request.root)
            return self._failure(request, "Octet failed on this call: see `octet daemon logs`")


def peer_uid(link: socket.socket) -> int:
    """The user at the other end of a unix socket."""
    if sys.platform == "darwin":
        # struct xucred: version, uid, number of groups, 16 groups. SOL_LOCAL is 0, LOCAL_PEERCRED
        # 1.
        return int(struct.unpack_from("=II", link.getsockopt(0, 1, 76))[1])
    return int(struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])
