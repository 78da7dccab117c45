"""A proxy that can be told to fail: it stands between a client and a server, each on TCP or a unix
socket.

    with FaultProxy(f"unix://{path}", server.url) as proxy:
        proxy.fault = Fault.DELAY
        connect(proxy.url)

What it does to bytes from then on, on connections there are and on new ones, says `Fault`; `cut`
resets every open one.
"""

from __future__ import annotations

import socket
import struct
import threading
from enum import Enum, auto
from types import TracebackType
from urllib.parse import urlsplit

CHUNK = 65536


class Fault(Enum):
    """What happens to traffic."""

    NONE = auto()  # it passes
    DELAY = auto()  # an answer comes `delay_s` late
    BLACK_HOLE = auto()  # what is sent is taken and goes nowhere, no answer, no end
    DROP_ANSWERS = auto()  # what is sent arrives, and is carried out; the answer does not come
    HALF_CLOSE = (
        auto()
    )  # what is sent arrives; then the answers' direction is closed, the other stays open
    RESET = auto()  # what is sent arrives, and then the connection is reset
    REFUSE = auto()  # a connection is closed before anything is read


class FaultProxy:
    """Listens at `listen` (`redis://127.0.0.1:0` for a free port, `unix://PATH`), forwards to
    `target`; `url` is what to connect to.
    """

    def __init__(self, listen: str, target: str) -> None:
        self.fault = Fault.NONE
        self.delay_s = 0.3
        self._target = target
        self._listener, self.url = _listening(listen)
        self._open: list[socket.socket] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> FaultProxy:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join(20)
        self._listener.close()
        for each in self._open:
            each.close()

    def cut(self) -> None:
        """Reset every connection there is."""
        for each in list(self._open):
            _reset(each)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.fault is Fault.REFUSE:
                client.close()
                continue
            server = _connected(self._target)
            self._open += [client, server]
            for source, sink, answers in ((client, server, False), (server, client, True)):
                self._threads.append(
                    threading.Thread(target=self._forward, args=(source, sink, answers))
                )
                self._threads[-1].start()

    def _forward(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(CHUNK):
                self._pass(data, sink, answers)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return  # it was cut, by us or by either side

    def _pass(self, data: bytes, sink: socket.socket, answers: bool) -> None:
        if self.fault is Fault.BLACK_HOLE or (answers and self.fault is Fault.DROP_ANSWERS):
            return
        if answers and self.fault is Fault.HALF_CLOSE:
            sink.shutdown(socket.SHUT_WR)
        elif answers and self.fault is Fault.RESET:
            _reset(sink)
        else:
            if answers and self.fault is Fault.DELAY:
                self._ended.wait(self.delay_s)
            sink.sendall(data)


def _reset(connection: socket.socket) -> None:
    """End it at once; over TCP the other side sees ECONNRESET."""
    try:
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was first


def _listening(url: str) -> tuple[socket.socket, str]:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(parts.path)
    else:
        listener = socket.socket()
        listener.bind((parts.hostname or "127.0.0.1", parts.port or 0))
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
    listener.listen(64)
    return listener, url


def _connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(parts.path)
        return connection
    return socket.create_connection((parts.hostname, parts.port or 6379))
