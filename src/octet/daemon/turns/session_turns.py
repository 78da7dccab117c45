"""Which client processes are in a turn, and what came of waking them."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from octet.daemon.turns.waiter import ProjectPlace, read_client_status

# A session that was woken this often without result is left alone for `FIRST_REST_S`, then for
# twice as long, and so on.
MAX_FRUITLESS = 3
FIRST_REST_S = 15.0
MAX_REST_S = 900.0
MAX_TURNS = 1000


@dataclass
class SessionTurn:
    """One client process."""

    # In a turn, as far as its hooks have told.
    busy: bool = False
    # Since when, by `time.monotonic` and, in ms, by the wall clock; 0: nothing is known.
    since: float = 0.0
    since_ms: float = 0.0
    # The agent that was woken last.
    woken: tuple[ProjectPlace, str] | None = None
    # Releases what is reserved for that agent.
    release: Callable[[], None] | None = None
    # How often in a row waking it led to nothing, and until when it is left alone.
    fruitless: int = 0
    rest_until: float = 0.0
    # It has context that only a turn will show to its model.
    unread: bool = False

    def set_busy(self, busy: bool, *, ago_s: float = 0.0) -> None:
        self.busy = busy
        self.since = time.monotonic() - ago_s
        self.since_ms = (time.time() - ago_s) * 1000

    def is_running(self, status_file: str) -> bool:
        """Whether the session is in a turn: by its hooks, and where these say nothing (Esc), by its
        client's own note.
        """
        if self.since and not self.busy:
            return False
        status, since_ms = read_client_status(status_file)
        if self.busy:
            return not (status == "idle" and since_ms > self.since_ms)
        return status == "busy"

    def note_wake(self, place: ProjectPlace, agent: str, release: Callable[[], None]) -> None:
        """It is woken now."""
        self.set_busy(True)
        self.woken, self.release, self.unread = (place, agent), release, False
        self.fruitless += 1
        if self.fruitless >= MAX_FRUITLESS:
            rest_s = FIRST_REST_S * 2 ** min(self.fruitless - MAX_FRUITLESS, 10)
            self.rest_until = time.monotonic() + min(rest_s, MAX_REST_S)

    def note_result(self) -> None:
        """Something came of waking it."""
        release, self.release = self.release, None
        self.fruitless, self.rest_until, self.unread = 0, 0.0, False
        if release:
            release()


class SessionTurns:
    """The client processes known lately, by pid."""

    def __init__(self) -> None:
        self._turns: OrderedDict[int, SessionTurn] = OrderedDict()

    def get(self, pid: int) -> SessionTurn:
        """The turn of a process, a new one where none is known."""
        turn = self._turns.setdefault(pid, SessionTurn())
        self._turns.move_to_end(pid)
        if len(self._turns) > MAX_TURNS:
            self._turns.popitem(last=False)
        return turn

    def find(self, pid: int) -> SessionTurn | None:
        return self._turns.get(pid)

    def woken(self, place: ProjectPlace, agents: frozenset[str]) -> Iterator[SessionTurn]:
        """The processes that were woken last as one of these agents."""
        for turn in list(self._turns.values()):
            if turn.woken and turn.woken[0] == place and turn.woken[1] in agents:
                yield turn

    def clear(self) -> None:
        """Forget all, as a daemon's successor has."""
        self._turns.clear()
