"""A session's waiter (`hooks/wake.py`): the open connection whose answer wakes the session."""

from __future__ import annotations

import math
import select
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from octet.core.agents.registry import Agent
from octet.daemon.protocol import wire
from octet.daemon.protocol.wire import Reply, Request
from octet.store.scripts import from_json

SEND_WITHIN_S = 0.5
# A project's root and store URL, as the waiter's hook has them.
ProjectPlace = tuple[str, str]


@dataclass(eq=False)
class Waiter:
    """One waiter; times are by `time.monotonic`."""

    # The connection that it waits on.
    link: socket.socket
    place: ProjectPlace
    # The client's process.
    pid: int
    # When it started.
    since: float
    # The event of the hook that started it.
    event: str = ""
    # Where its client notes whether it is busy.
    status_file: str = ""
    # Its agent, once known.
    agent: Agent | None = None
    # How many locks the agent was denied; None: not known, see `find_reasons`.
    denied: int | None = None
    # When it is checked next.
    check_at: float = math.inf

    @classmethod
    def of(cls, request: Request, link: socket.socket) -> Waiter:
        """From its request: when it started, its hook's event, where its client notes its status,
        with NULs between.

        Raises:
            ValueError: it is none.
        """
        since, event, status_file = request.payload.decode("utf-8", "surrogateescape").split("\0")
        place = (request.root, request.redis_url)
        started = min(float(since), time.monotonic())
        return cls(link, place, request.pid, started, event, status_file)

    def answer(self, reply: Reply) -> bool:
        """Let it end; False when it is gone already."""
        try:
            self.link.settimeout(SEND_WITHIN_S)
            self.link.sendall(wire.encode_reply(reply))
        except OSError:
            return False
        finally:
            self.link.close()
        return True

    @property
    def is_gone(self) -> bool:
        poll = select.poll()
        poll.register(self.link, 0)
        return bool(poll.poll(0))


def read_client_status(path: str) -> tuple[str, float]:
    """What a client has noted of itself: busy, idle or something else, and since when (ms, wall
    clock); ("", 0) where it has not.
    """
    try:
        record = from_json(Path(path).read_text(encoding="utf-8", errors="replace"))
        return str(record["status"]), float(record.get("statusUpdatedAt") or 0)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return "", 0.0
