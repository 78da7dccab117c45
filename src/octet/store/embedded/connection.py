"""A connection to the embedded server without a Redis client, whose import costs more than the
question whether the server answers.
"""

from __future__ import annotations

import socket
from enum import Enum, auto
from types import TracebackType

ANSWER_S = 2.0


class Answer(Enum):
    """What a PING brought."""

    UP = auto()
    LOADING = auto()
    NONE = auto()


class ServerConnection:
    """One connection; each method raises OSError when the server does not answer within 2 s."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_S)
        try:
            self._socket.connect(path)
        except BaseException:
            self._socket.close()
            raise
        self._replies = self._socket.makefile("rb")

    def __enter__(self) -> ServerConnection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._replies.close()
        self._socket.close()

    def ask(self, command: str) -> str:
        """Send one command without spaces in its arguments; its reply as text, an error with its
        leading '-'.
        """
        self._socket.sendall(command.encode() + b"\r\n")
        head = self._replies.readline()
        if not head:
            raise ConnectionResetError("the server has closed the connection")
        if head.startswith(b"$"):
            head = self._replies.read(int(head[1:]) + 2)
        return head.decode(errors="replace").rstrip("\r\n")

    def info(self) -> dict[str, str]:
        """INFO as a mapping."""
        return dict(line.split(":", 1) for line in self.ask("INFO").splitlines() if ":" in line)

    def other_clients(self) -> list[dict[str, str]]:
        """CLIENT LIST without this connection, each as a mapping: `id`, `name`, `idle` and more."""
        own = self.ask("CLIENT ID").removeprefix(":")
        listed = [
            dict(pair.split("=", 1) for pair in row.split(" ") if "=" in pair)
            for row in self.ask("CLIENT LIST").splitlines()
        ]
        return [client for client in listed if client.get("id") != own]

    def shut_down(self) -> None:
        """SHUTDOWN; the server ends without an answer, and answers only when it will not."""
        try:
            refusal = self.ask("SHUTDOWN")
        except ConnectionResetError:
            return
        raise OSError(refusal.removeprefix("-"))


def ping(path: str) -> Answer:
    """Whether a server answers at this socket; any error but LOADING is an answer too (a full disk
    makes PING fail).
    """
    try:
        with ServerConnection(path) as connection:
            return Answer.LOADING if connection.ask("PING").startswith("-LOADING") else Answer.UP
    except OSError:
        return Answer.NONE
