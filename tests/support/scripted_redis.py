"""A server that a test scripts, for replies that a real one cannot be made to give in time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

Answer = Callable[[list[str]], bytes | None]


class ScriptedRedis:
    """Answers each command with `answer(words)`: bytes to send, b"" to cut the connection, None to
    stay silent.

    Setting up a connection (CLIENT, SELECT, PING) is answered for itself unless `handshake` is
    given. `seen` keeps the rest.
    """

    def __init__(self, path: Path, answer: Answer, handshake: Answer | None = None) -> None:
        self.url = f"unix://{path}"
        self.seen: list[list[str]] = []
        self.connections = 0
        self._answer, self._handshake = answer, handshake or _greet
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)

    def __enter__(self) -> ScriptedRedis:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        self._thread.join()
        self._listener.close()

    def cut(self) -> None:
        """Close every connection, as a server does that has had enough of an idle client."""
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the other side was first

    def _accept(self) -> None:
        threads = []
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                break
            self.connections += 1
            self._open.append(connection)
            threads.append(threading.Thread(target=self._serve, args=(connection,)))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            try:
                while words := _read_command(lines):
                    greeting = self._handshake(words)
                    reply = greeting if greeting is not None else self._command(words)
                    if reply == b"":
                        return
                    if reply:
                        connection.sendall(reply)
            except OSError:
                return

    def _command(self, words: list[str]) -> bytes | None:
        self.seen.append(words)
        return self._answer(words)


def _greet(words: list[str]) -> bytes | None:
    if words[0] == "PING":
        return b"+PONG\r\n"
    return b"+OK\r\n" if words[0] in {"CLIENT", "SELECT", "AUTH"} else None


def _read_command(lines: object) -> list[str]:
    readline, read = lines.readline, lines.read  # type: ignore[attr-defined]
    head = readline()
    if not head.startswith(b"*"):
        return [word.decode() for word in head.split()]
    return [read(int(readline()[1:]) + 2)[:-2].decode() for _ in range(int(head[1:]))]
