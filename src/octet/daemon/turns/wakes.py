"""Wakes idle sessions: each has a waiter whose connection stays open here until there is a reason.

    hook UserPromptSubmit ──▶ begins(pid)   this turn's waiter takes the place of the one before
    hook Stop             ──▶ ends(pid)     is there a reason? then the waiter ends with code 2
    event of the project  ──▶ News          check the sessions that it may concern

One thread does all of it; one more for each project listens. A session in a turn is never woken.
Nothing is lost with this process: the waiters connect to its successor, what there is for them is
in the store, and every subscription begins with a check of everything.
"""

from __future__ import annotations

import logging
import math
import queue
import socket
import threading
import time
from collections.abc import Callable
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
from octet.daemon.turns.session_turns import SessionTurn, SessionTurns
from octet.daemon.turns.waiter import ProjectPlace, Waiter
from octet.daemon.turns.wake_reasons import WakeReasons, find_reasons, release_offers

log = logging.getLogger(__name__)

# A waiter and the hook of the same event start together; the hook's own delivery goes first.
SETTLE_S = 2.0
# Everything is checked this often: what redis-cli did publishes nothing, and a subscription may
# fail silently.
SWEEP_S = 60.0
# A session in a turn is checked again: Esc ends a turn without a hook, but the client notes that it
# is idle.
RECHECK_S = 2.0
RETRY_S = 5.0


class Wakes:
    """The waiters of all projects of this machine. Public methods may be called by any thread, and
    none of them waits.
    """

    def __init__(self, projects: Projects) -> None:
        self._projects = projects
        self._acts: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._waiters: dict[int, Waiter] = {}
        self._turns = SessionTurns()
        self._listeners: dict[ProjectPlace, Listener] = {}
        self._beginning: set[int] = set()
        self._sweep_at = math.inf
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def answer(self, request: Request) -> Reply:
        """To a waiter's request: its connection is kept; one that cannot be read is closed."""
        return wire.Later(take=lambda link: self._do(lambda: self._take(request, link)))

    def begins(self, pid: int) -> None:
        """The session's process is in a turn, or about to be told things by a hook."""
        self._beginning.add(pid)  # a check may be under way at this moment
        self._do(lambda: self._begin(pid))

    def ends(self, pid: int) -> None:
        """The session's process is idle now."""
        self._do(lambda: self._end(pid))

    def progresses(self, pid: int) -> None:
        """Something came of waking it: it got its mail, or claimed a task."""
        self._do(lambda: self._turns.get(pid).note_result())

    def left_unread(self, pid: int) -> None:
        """Its hook has put into its context what only a turn will show."""
        self._do(lambda: setattr(self._turns.get(pid), "unread", True))

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
                act = self._check_due
            if act is None:
                return
            try:
                act()
            except Exception:
                log.exception("waking failed")  # the others must be woken all the same

    def _idle_s(self) -> float:
        due = min([self._sweep_at, *(waiter.check_at for waiter in self._waiters.values())])
        return min(max(0.0, due - time.monotonic()), 3600.0)

    def _check_due(self) -> None:
        now = time.monotonic()
        if now >= self._sweep_at:
            self._sweep(now)
        for waiter in self._oldest_first():
            if waiter.check_at <= now:
                self._check(waiter, EVERYTHING)

    def _sweep(self, now: float) -> None:
        self._sweep_at = now + SWEEP_S if self._waiters else math.inf
        for waiter in list(self._waiters.values()):
            if waiter.is_gone:
                del self._waiters[waiter.pid]
                waiter.link.close()
            else:
                waiter.check_at = min(waiter.check_at, now)
        for place in self._listeners.keys() - {waiter.place for waiter in self._waiters.values()}:
            self._listeners.pop(place).stop()

    def _oldest_first(self) -> list[Waiter]:
        """The session that has been idle longest comes first."""

        def idle_since(waiter: Waiter) -> float:
            turn = self._turns.find(waiter.pid)
            return turn.since if turn else 0.0

        return sorted(self._waiters.values(), key=idle_since)

    # Waiters

    def _take(self, request: Request, link: socket.socket) -> None:
        try:
            waiter = Waiter.of(request, link)
        except ValueError:
            link.close()
            return
        before = self._waiters.get(waiter.pid)
        # An older one may come back late.
        if not waiter.pid or (before and before.since > waiter.since):
            waiter.answer(Reply())
            return
        if before:
            before.answer(Reply())
        self._waiters[waiter.pid] = waiter
        if waiter.place not in self._listeners:
            self._listeners[waiter.place] = self._listen(waiter.place)
        if math.isinf(self._sweep_at):
            self._sweep_at = time.monotonic() + SWEEP_S
        self._plan_first_check(waiter)

    def _plan_first_check(self, waiter: Waiter) -> None:
        turn, now = self._turns.find(waiter.pid), time.monotonic()
        is_of_new_turn = (
            waiter.event == "UserPromptSubmit"
            and now - waiter.since < SETTLE_S
            and (turn is None or turn.since < waiter.since)
        )
        if is_of_new_turn:
            self._turns.get(waiter.pid).set_busy(True, ago_s=now - waiter.since)
        elif turn is None:
            waiter.check_at = max(now, waiter.since + SETTLE_S)
        elif not turn.busy:
            waiter.check_at = now

    # Projects

    def _listen(self, place: ProjectPlace) -> Listener:
        return Listener(
            Path(place[0]).name,
            lambda: self._project(place),
            lambda news: self._do(lambda: self._on_news(place, news)),
        )

    def _project(self, place: ProjectPlace) -> ProjectSession | None:
        """The project as it is now; None when it no longer takes part."""
        try:
            project = self._projects.find(*place)
        except NoProject:
            return None
        return project if project.trusted.approved else None

    def _on_news(self, place: ProjectPlace, news: News) -> None:
        for turn in self._turns.woken(place, news.claimed):
            turn.note_result()
        for waiter in [waiter for waiter in self._oldest_first() if waiter.place == place]:
            if news.agents:
                waiter.agent = None
            self._check(waiter, news)

    # Turns

    def _begin(self, pid: int) -> None:
        self._beginning.discard(pid)
        self._turns.get(pid).set_busy(True)

    def _end(self, pid: int) -> None:
        self._turns.get(pid).set_busy(False)
        if waiter := self._waiters.get(pid):
            waiter.denied = None  # it may have been denied something in its turn
            waiter.agent = None
            self._check(waiter, EVERYTHING)

    # Checks

    def _check(self, waiter: Waiter, news: News) -> None:
        """Wake the session if there is a reason. One that cannot be checked now is checked again
        soon, for everything.
        """
        now, turn = time.monotonic(), self._turns.get(waiter.pid)
        if not news:
            return
        if news.inboxes is None or waiter.check_at <= now:
            waiter.check_at = math.inf
            news = EVERYTHING
        try:
            if turn.is_running(waiter.status_file):
                waiter.check_at = min(waiter.check_at, now + RECHECK_S)
            elif turn.rest_until > now:
                waiter.check_at = turn.rest_until
            elif (project := self._project(waiter.place)) is None:
                del self._waiters[waiter.pid]
                waiter.answer(Reply())
            else:
                self._wake_if_reason(waiter, turn, news, project)
        except OctetError as error:
            waiter.check_at = now + RETRY_S
            log.info("an idle session is checked later: %s", error)

    def _wake_if_reason(
        self, waiter: Waiter, turn: SessionTurn, news: News, project: ProjectSession
    ) -> None:
        octet = project.connected()
        try:
            agent = _agent_of(waiter, octet)
            if agent is None:  # its session's first hook has not come yet
                waiter.check_at = time.monotonic() + SETTLE_S
                return
            found = find_reasons(octet, agent, news, waiter.denied)
        except StoreUnreachable as error:
            project.mark_down(error)
            raise
        waiter.denied = found.denied
        if turn.unread:
            found.texts.append("messages came as the session began: read them")
        if found.line and waiter.pid in self._beginning:
            release_offers(octet, agent, found.offers)
            waiter.check_at = time.monotonic()
        elif found.line:
            self._wake(waiter, turn, octet, agent, found)
        elif found.later_ms:
            waiter.check_at = min(waiter.check_at, time.monotonic() + found.later_ms / 1000)
        elif not found.waits and news.inboxes is None:
            turn.fruitless = 0

    def _wake(
        self, waiter: Waiter, turn: SessionTurn, octet: Octet, agent: Agent, found: WakeReasons
    ) -> None:
        del self._waiters[waiter.pid]

        def release() -> None:
            release_offers(octet, agent, found.offers)

        if not waiter.answer(Reply(2, b"", found.line.encode("utf-8", "replace"))):
            release()
            return
        log.info("%s is woken: %s", agent.id, found.line.strip())
        turn.note_wake(waiter.place, agent.id, release)
        if found.told:
            octet.locks.freed(agent, told=found.told)


def _agent_of(waiter: Waiter, octet: Octet) -> Agent | None:
    if waiter.agent is None and (process := identify(waiter.pid)):
        waiter.agent = octet.agents.find(identity.process_key(process))
    return waiter.agent
