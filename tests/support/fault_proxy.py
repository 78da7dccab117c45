"""A proxy that can be told to fail: it stands between a client and a server, each on TCP or a unix
socket.

    with FaultProxy(f"unix://{path}", server.url) as proxy:
        proxy.fault = Fault.DELAY
        connect(proxy.url)

`Fault` says what happens to bytes from then on, on open connections and on new ones; `cut` resets
every open one. `ProxyProcess` is the same proxy in a process of its own, for a program that forks.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

CHUNK = 65536
END_WITHIN_S = 20.0
ROOT = Path(__file__).resolve().parents[2]


class Fault(Enum):
    """What happens to traffic."""

    NONE = auto()  # it passes
    DELAY = auto()  # each piece of an answer comes `delay_s` late
    BLACK_HOLE = auto()  # nothing passes, and the connection stays open
    DROP_REQUESTS = auto()  # what is sent is lost; answers to what was sent before still come
    DROP_ANSWERS = auto()  # what is sent arrives and is carried out; the answer is lost
    HALF_CLOSE = auto()  # what is sent arrives; then the direction of the answers is closed
    RESET = auto()  # what is sent arrives, and then the connection is reset
    REFUSE = auto()  # a connection is closed before anything is read


DROPPED = {  # fault → whether requests are lost, and whether answers are
    Fault.BLACK_HOLE: (True, True),
    Fault.DROP_REQUESTS: (True, False),
    Fault.DROP_ANSWERS: (False, True),
}


class FaultProxy:
    """Listens at `listen` (`redis://127.0.0.1:0` for a free port, `unix://PATH`), forwards to
    `target`; `url` is what to connect to.
    """

    def __init__(self, listen: str, target: str) -> None:
        self.fault = Fault.NONE
        self.delay_s = 0.3  # of `Fault.DELAY`
        self.slow_s = 0.0  # how late each piece comes, in both directions, whatever the fault
        self.ended = threading.Event()
        self._target = target
        self._listener, self.url = _listening(listen)
        self._open: set[_Connection] = set()
        self._thread = threading.Thread(target=self._accept)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, and every connection with it."""
        self.ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(END_WITHIN_S)
        for each in list(self._open):
            each.reset()
            each.join()
        self._listener.close()

    def cut(self) -> None:
        """Reset every connection there is."""
        for each in list(self._open):
            each.reset()

    def mend(self) -> None:
        """No fault from now on; what was lost never arrives, so that the connections end."""
        self.fault = Fault.NONE
        self.cut()

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self.fault is Fault.REFUSE:
                    raise ConnectionRefusedError
                server = _connected(self._target)
            except OSError:  # the server may be dead just now
                client.close()
                continue
            connection = _Connection(self, client, server)
            self._open.add(connection)
            connection.start(lambda ended: self._open.discard(ended))


class _Connection:
    """One client's way to the server and back: a thread for each direction."""

    def __init__(self, proxy: FaultProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._threads: list[threading.Thread] = []
        self._lost = False

    def start(self, ended: Callable[[_Connection], None]) -> None:
        """Forward until both directions have ended; then close and call `ended`."""
        requests = threading.Thread(target=self._forward, args=(self._client, self._server, False))
        answers = threading.Thread(target=self._answer, args=(requests, ended))
        self._threads = [requests, answers]
        for thread in self._threads:
            thread.start()

    def reset(self) -> None:
        """End it at once; over TCP both sides see ECONNRESET."""
        for each in (self._client, self._server):
            _reset(each)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(END_WITHIN_S)

    def _answer(self, requests: threading.Thread, ended: Callable[[_Connection], None]) -> None:
        self._forward(self._server, self._client, True)
        requests.join()
        self._client.close()
        self._server.close()
        ended(self)

    def _forward(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(CHUNK):
                self._pass(data, sink, answers)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self.reset()  # it was cut, by us or by either side

    def _pass(self, data: bytes, sink: socket.socket, answers: bool) -> None:
        fault = self._proxy.fault
        if DROPPED.get(fault, (False, False))[answers]:
            self._lost = True
            return
        if self._lost and fault is Fault.NONE:
            raise ConnectionResetError  # behind a gap nothing may pass
        if answers and fault is Fault.HALF_CLOSE:
            sink.shutdown(socket.SHUT_WR)
        elif answers and fault is Fault.RESET:
            _reset(sink)
        else:
            late_s = self._proxy.slow_s
            if answers and fault is Fault.DELAY:
                late_s += self._proxy.delay_s
            if late_s:
                self._proxy.ended.wait(late_s)
            sink.sendall(data)


class ProxyProcess:
    """A `FaultProxy` in a process of its own, which ends with its owner."""

    def __init__(self, listen: str, target: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fault_proxy", listen, target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.url = self._hear()

    def begin(self, fault: Fault) -> None:
        """Set `fault`; like each order, this returns when it is done."""
        self._order(f"fault {fault.name}")

    def mend(self) -> None:
        """As `FaultProxy.mend`."""
        self._order("mend")

    def slow(self, slow_s: float) -> None:
        """Set `slow_s`."""
        self._order(f"slow {slow_s}")

    def cut(self) -> None:
        """As `FaultProxy.cut`."""
        self._order("cut")

    def close(self) -> None:
        """End it; every connection ends with it."""
        self._process.kill()
        self._process.communicate()

    def _order(self, words: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()
        assert self._hear() == "done"

    def _hear(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


def main(listen: str, target: str) -> None:
    """Obey the orders of standard input, one a line, until it is closed."""
    with FaultProxy(listen, target) as proxy:
        print(proxy.url, flush=True)
        for line in sys.stdin:
            match line.split():
                case ["fault", name]:
                    proxy.fault = Fault[name]
                case ["slow", seconds]:
                    proxy.slow_s = float(seconds)
                case ["mend"]:
                    proxy.mend()
                case ["cut"]:
                    proxy.cut()
            print("done", flush=True)


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


if __name__ == "__main__":
    main(*sys.argv[1:])
