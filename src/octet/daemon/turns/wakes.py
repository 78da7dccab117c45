"""Wakes idle sessions: each has a waiter (`hooks/wake.py`) whose connection stays open here until
there is a reason.

    hook UserPromptSubmit ──▶ begins(pid)     a waiter of this turn comes and takes the place of the
    one before hook Stop             ──▶ ends(pid)       look: is there a reason? then answer the
    waiter, which ends with code 2 event of the project  ──▶ news            look at those that it
    may concern

One thread does all of it, one more for each project listens. A session in a turn is never woken.
Nothing is lost with this process: the waiters connect to its successor, what there is for them is
in the store, and every subscription begins with a look at everything.
"""

from __future__ import annotations

import logging
import math
import queue
import select
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from octet.base.errors import NoProject, OctetError, StoreUnreachable
from octet.base.process import identify
from octet.client.api import Octet
from octet.core.agents import identity
from octet.core.agents.registry import Agent
from octet.daemon.projects.news import EVERYTHING, Listener, News
from octet.daemon.projects.sessions import Projects, ProjectSession
from octet.daemon.protocol import wire
from octet.daemon.protocol.wire import Reply, Request
from octet.daemon.turns.wake_reasons import Found, find_reasons, take_back
from octet.store.scripts import from_json

log = logging.getLogger("octet.wakes")

# A waiter and the hook of the same event start together; the hook's own delivery goes first.
SETTLE_S = 2.0
# Certainty: what redis-cli did publishes nothing, and a subscription may be dead without a word.
SWEEP_S = 60.0
# Somebody in a turn for whom there is a reason: Esc ends a turn without a hook, but the client
# writes down that it is idle.
HELD_S = 2.0
SEND_WITHIN_S = 0.5
RETRY_S = 5.0
# Woken so often without anything coming of it, a session is left alone for this long, and then for
# twice as long, and so on.
FRUITLESS_MOST = 3
FIRST_REST_S = 15.0
LONGEST_REST_S = 900.0
MOST_TURNS = 1000
Place = tuple[str, str]


@dataclass(eq=False)
class Waiter:
    """A session's waiter. `since` is when it started and `look_at` when to look next, by
    `time.monotonic`; `denied`: see `find_reasons`.
    """

    link: socket.socket
    place: Place
    pid: int
    since: float
    event: str = ""
    status_file: str = ""
    agent: Agent | None = None
    denied: int | None = None
    look_at: float = math.inf

    @classmethod
    def of(cls, request: Request, link: socket.socket) -> Waiter:
        """From its request: when it started, its hook's event, where its client notes its status,
        with NULs between.

        Raises:
            ValueError: it is none.
        """
        since, event, status_file = request.payload.decode("utf-8", "surrogateescape").split("\0")
        return cls(
            link,
            (request.root, request.redis_url),
            request.pid,
            min(float(since), time.monotonic()),
            event,
            status_file,
        )

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


@dataclass
class Turn:
    """What is known of a client process: whether it is in a turn, since when (`since_ms` on the
    wall clock), and what became of waking it.

    `woken` is the agent that it was; `offers` takes back what it was woken for before others;
    `unread` is context that only a turn will show to the model.
    """

    busy: bool
    since: float
    since_ms: float
    woken: tuple[Place, str] | None = None
    offers: Callable[[], None] | None = None
    fruitless: int = 0
    rest_until: float = 0.0
    unread: bool = False


class Wakes:
    """The waiters of all projects of this machine. Any thread may call what is public; nothing of
    it waits.
    """

    def __init__(self, projects: Projects) -> None:
        self._projects = projects
        self._acts: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._waiters: dict[int, Waiter] = {}
        self._turns: OrderedDict[int, Turn] = OrderedDict()
        self._listeners: dict[Place, Listener] = {}
        self._beginning: set[int] = set()
        self._sweep_at = math.inf
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def answer(self, request: Request) -> Reply:
        """To a waiter's request: its connection is kept; one that cannot be read is sent away."""
        return wire.Later(take=lambda link: self._do(lambda: self._take(request, link)))

    def begins(self, pid: int) -> None:
        """The session's process is in a turn, or about to be told things by a hook."""
        self._beginning.add(pid)  # a look may be under way in this moment
        self._do(lambda: self._begin(pid))

    def ends(self, pid: int) -> None:
        """It is idle now."""
        self._do(lambda: self._end(pid))

    def progresses(self, pid: int) -> None:
        """Something came of waking it: it got its mail, it claimed a task."""
        self._do(lambda: self._progress(pid))

    def left_unread(self, pid: int) -> None:
        """Its hook has put into its context what only a turn will show it."""
        self._do(lambda: setattr(self._turn(pid), "unread", True))

    def waiting(self) -> int:
        """How many sessions have a waiter."""
        return len(self._waiters)

    def stop(self) -> None:
        """End the threads; the waiters look for another daemon."""
        self._acts.put(None)
        if self._thread:
            self._thread.join(timeout=5)
        for listener in self._listeners.values():
            listener.stop(within_s=5)
        for waiter in self._waiters.values():
            waiter.link.close()

    # The thread

    def _do(self, act: Callable[[], None]) -> None:
        self._acts.put(act)
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="wakes", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                act = self._acts.get(timeout=self._idle_s())
            except queue.Empty:
                act = self._look_due
            if act is None:
                return
            try:
                act()
            except Exception:
                log.exception("waking failed")  # the others must be woken all the same

    def _idle_s(self) -> float:
        due = min([self._sweep_at, *(waiter.look_at for waiter in self._waiters.values())])
        return min(max(0.0, due - time.monotonic()), 3600.0)

    def _look_due(self) -> None:
        now = time.monotonic()
        if now >= self._sweep_at:
            self._sweep(now)
        for waiter in self._oldest_first():
            if waiter.look_at <= now:
                self._look(waiter, EVERYTHING)

    def _sweep(self, now: float) -> None:
        self._sweep_at = now + SWEEP_S if self._waiters else math.inf
        for waiter in list(self._waiters.values()):
            if waiter.is_gone:
                del self._waiters[waiter.pid]
                waiter.link.close()
            else:
                waiter.look_at = min(waiter.look_at, now)
        for place in self._listeners.keys() - {waiter.place for waiter in self._waiters.values()}:
            self._listeners.pop(place).stop()

    def _oldest_first(self) -> list[Waiter]:
        """By who has been idle longest."""
        return sorted(
            self._waiters.values(),
            key=lambda waiter: self._turns[waiter.pid].since if waiter.pid in self._turns else 0.0,
        )

    # Waiters

    def _take(self, request: Request, link: socket.socket) -> None:
        try:
            waiter = Waiter.of(request, link)
        except ValueError:
            link.close()
            return
        before = self._waiters.get(waiter.pid)
        if not waiter.pid or (
            before and before.since > waiter.since
        ):  # an older one that comes back late
            waiter.answer(Reply())
            return
        if before:
            before.answer(Reply())
        self._waiters[waiter.pid] = waiter
        if waiter.place not in self._listeners:
            self._listeners[waiter.place] = Listener(
                Path(waiter.place[0]).name, *self._ears(waiter.place)
            )
        if math.isinf(self._sweep_at):
            self._sweep_at = time.monotonic() + SWEEP_S
        self._first_look(waiter)

    def _first_look(self, waiter: Waiter) -> None:
        turn, now = self._turns.get(waiter.pid), time.monotonic()
        if (
            waiter.event == "UserPromptSubmit"
            and now - waiter.since < SETTLE_S
            and (not turn or turn.since < waiter.since)
        ):
            self._set(waiter.pid, busy=True, ago_s=now - waiter.since)
        elif turn is None:
            waiter.look_at = max(now, waiter.since + SETTLE_S)
        elif not turn.busy:
            waiter.look_at = now

    def _ears(
        self, place: Place
    ) -> tuple[Callable[[], ProjectSession | None], Callable[[News], None]]:
        return lambda: self._project(place), lambda news: self._do(lambda: self._hear(place, news))

    def _project(self, place: Place) -> ProjectSession | None:
        """The project as it is now; None when it takes part no more."""
        try:
            project = self._projects.find(*place)
        except NoProject:
            return None
        return project if project.trusted.approved else None

    def _hear(self, place: Place, news: News) -> None:
        for pid, turn in list(self._turns.items()) if news.claimed else ():
            if turn.woken and turn.woken[0] == place and turn.woken[1] in news.claimed:
                self._progress(pid)
        for waiter in [waiter for waiter in self._oldest_first() if waiter.place == place]:
            if news.agents:
                waiter.agent = None
            self._look(waiter, news)

    # Turns

    def _turn(self, pid: int) -> Turn:
        turn = self._turns.setdefault(pid, Turn(busy=False, since=0.0, since_ms=0.0))
        self._turns.move_to_end(pid)
        if len(self._turns) > MOST_TURNS:
            self._turns.popitem(last=False)
        return turn

    def _set(self, pid: int, *, busy: bool, ago_s: float = 0.0) -> None:
        turn = self._turn(pid)
        turn.busy, turn.since, turn.since_ms = (
            busy,
            time.monotonic() - ago_s,
            (time.time() - ago_s) * 1000,
        )

    def _begin(self, pid: int) -> None:
        self._beginning.discard(pid)
        self._set(pid, busy=True)

    def _end(self, pid: int) -> None:
        self._set(pid, busy=False)
        if waiter := self._waiters.get(pid):
            waiter.denied = None  # it may have been denied something in its turn
            waiter.agent = None
            self._look(waiter, EVERYTHING)

    def _progress(self, pid: int) -> None:
        turn = self._turn(pid)
        offers, turn.offers, turn.fruitless, turn.rest_until, turn.unread = (
            turn.offers,
            None,
            0,
            0.0,
            False,
        )
        if offers:
            offers()

    def _in_turn(self, waiter: Waiter) -> bool:
        """Whether the session is in a turn, as far as its hooks told, or, where they did not, its
        client's own note.
        """
        turn = self._turn(waiter.pid)
        if turn.since and not turn.busy:
            return False
        status, since_ms = read_status(waiter.status_file)
        if turn.busy:
            return not (status == "idle" and since_ms > turn.since_ms)
        return status == "busy"

    # Looking

    def _look(self, waiter: Waiter, news: News) -> None:
        """Wake the session if there is a reason; one that cannot be looked at now is looked at
        again soon, and at everything.
        """
        now, turn = time.monotonic(), self._turn(waiter.pid)
        if not news:
            return
        if news.inboxes is None or waiter.look_at <= now:
            waiter.look_at = math.inf
            news = EVERYTHING
        try:
            if self._in_turn(waiter):
                waiter.look_at = min(waiter.look_at, now + HELD_S)
            elif turn.rest_until > now:
                waiter.look_at = turn.rest_until
            elif (project := self._project(waiter.place)) is None:
                del self._waiters[waiter.pid]
                waiter.answer(Reply())
            else:
                self._find(waiter, turn, news, project)
        except OctetError as error:
            waiter.look_at = now + RETRY_S
            log.info("an idle session is looked at later: %s", error)

    def _find(self, waiter: Waiter, turn: Turn, news: News, project: ProjectSession) -> None:
        octet = project.connected()
        try:
            agent = self._agent(waiter, octet)
            if agent is None:  # its session's first hook has not come yet
                waiter.look_at = time.monotonic() + SETTLE_S
                return
            found = find_reasons(octet, agent, news, waiter.denied)
        except StoreUnreachable as error:
            project.mark_down(error)
            raise
        waiter.denied = found.denied
        if turn.unread:
            found.texts.append("messages came as the session began: read them")
        if found.line and waiter.pid in self._beginning:
            take_back(octet, agent, found.offers)
            waiter.look_at = time.monotonic()
        elif found.line:
            self._wake(waiter, turn, octet, agent, found)
        elif found.later_ms:
            waiter.look_at = min(waiter.look_at, time.monotonic() + found.later_ms / 1000)
        elif not found.waits and news.inboxes is None:
            turn.fruitless = 0

    def _wake(self, waiter: Waiter, turn: Turn, octet: Octet, agent: Agent, found: Found) -> None:
        del self._waiters[waiter.pid]
        if not waiter.answer(Reply(2, b"", found.line.encode("utf-8", "replace"))):
            take_back(octet, agent, found.offers)
            return
        log.info("%s is woken: %s", agent.id, found.line.strip())
        self._set(waiter.pid, busy=True)
        turn.woken, turn.unread = (waiter.place, agent.id), False
        turn.offers = lambda: take_back(octet, agent, found.offers)
        turn.fruitless += 1
        if turn.fruitless >= FRUITLESS_MOST:
            rest_s = FIRST_REST_S * 2 ** min(turn.fruitless - FRUITLESS_MOST, 10)
            turn.rest_until = time.monotonic() + min(rest_s, LONGEST_REST_S)
        if found.told:
            octet.locks.freed(agent, told=found.told)

    def _agent(self, waiter: Waiter, octet: Octet) -> Agent | None:
        if waiter.agent is None and (process := identify(waiter.pid)):
            waiter.agent = octet.agents.find(identity.process_key(process))
        return waiter.agent


def read_status(path: str) -> tuple[str, float]:
    """What a client has written down of itself: busy, idle or something else, and since when (ms,
    wall clock); ("", 0) where it has not.
    """
    try:
        record = from_json(Path(path).read_text(encoding="utf-8", errors="replace"))
        return str(record["status"]), float(record.get("statusUpdatedAt") or 0)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return "", 0.0
