"""Commands that are run to their end, together with all that they start."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

_GROUP_END_S = 1.0


@contextmanager
def watch_line() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The watcher's side of its line, and ours."""
    theirs, ours = socket.socketpair()
    with theirs, ours:
        yield theirs, ours


def end_watcher(watcher: socket.socket) -> None:
    """Have it kill what is left of the tests, itself with them, and wait for that."""
    watcher.settimeout(_GROUP_END_S)
    watcher.shutdown(socket.SHUT_WR)
    try:
        watcher.recv(1)
    except (TimeoutError, ConnectionError):
        return  # it is stopped, or was gone already
