"""Heartbeats of this machine's agents in one batch, the watch over their processes, and what else a
round takes.

An agent whose process lives is never declared dead here, however long it thinks or its machine
slept: each round first renews the leases of the living and only then looks for leases that ran out
(`sweep`).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from octet.base.dirs import state_dir
from octet.base.errors import OctetError, StoreUnreachable
from octet.base.process import ProcessIdentity, host_id, is_alive
from octet.client.api import Octet
from octet.core.agents.registry import LEASE_MS, Agent
from octet.daemon.liveness.fence_cache import HintFile, Hints, add_agent
from octet.daemon.liveness.process_watcher import DeathWatch
from octet.daemon.liveness.rescuer import Rescuer
from octet.daemon.liveness.sweep import Ear, is_stranger, log_estate, sweep
from octet.daemon.projects.sessions import Crew, Crews
from octet.daemon.turns.loop import give_back_untouched
from octet.store import embedded

log = logging.getLogger("octet.vitals")

RETRY_EVERY_S = 1.0
FLUSH_EVERY_S = 1.0


@dataclass(frozen=True)
class Pace:
    """`lease_ms`: how long an agent counts as alive from its last heartbeat on; all daemons of a
    project should agree.
    """

    lease_ms: int = LEASE_MS

    @classmethod
    def of_environment(cls) -> Pace:
        """By OCTET_DAEMON_LEASE_S, which is for tests."""
        return cls(int(float(os.environ.get("OCTET_DAEMON_LEASE_S") or LEASE_MS / 1000) * 1000))

    @property
    def beat_every_s(self) -> float:
        """Two heartbeats may fail before a lease runs out."""
        return self.lease_ms / 3000

    @property
    def sweep_ms(self) -> int:
        """The sweep of a machine that goes silent is free before its agents' leases end."""
        return self.lease_ms * 5 // 6


class Vitals:
    """The daemon's clockwork; `start` and `stop` once each."""

    def __init__(self, crews: Crews, pace: Pace | None = None) -> None:
        self._crews = crews
        self._pace = pace or Pace.of_environment()
        self.rescuer = Rescuer()
        self._deaths = DeathWatch(self._bury_process)
        self._hints = HintFile(state_dir())
        self._ear = Ear(self._expired)
        self._expiring: list[Crew] = []
        self._wake = threading.Event()
        self.at_stop: list[Callable[[], None]] = []
        self._stopping = False
        self._hastened = False
        self._flushed: frozenset[tuple[str, int, int]] = frozenset()
        self._live = 0
        self._thread = threading.Thread(target=self._run, name="vitals", daemon=True)

    def start(self) -> None:
        """Take up the projects of an earlier daemon and begin."""
        self._crews.recall()
        self._thread.start()

    def stop(self) -> None:
        """End; agents stay registered, their leases run on for their TTL."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout=5)
        self._ear.stop()
        self._deaths.stop()
        self.rescuer.stop()
        for stop in self.at_stop:
            stop()

    def live_agents(self) -> int:
        """How many agents of this machine were alive at the last round."""
        return self._live

    def hasten(self) -> None:
        """A project has come up: do a round now."""
        self._hastened = True
        self._wake.set()

    def rest(self) -> None:
        """The daemon ends for want of agents: let the embedded server end too, unless somebody else
        is connected to it.
        """
        for crew in self._crews.all():
            if crew.octet:
                crew.octet.close()
        try:
            embedded.stop_when_unused()
        except OctetError as error:
            log.warning("the embedded server does not end: %s", error)

    def noticed(self, agent: Agent) -> None:
        """A hook has just registered an agent: watch its process from now on."""
        self._live = max(self._live, 1)
        if process := local_process(agent):
            self._deaths.watch(process)
            if not self._hints.knows(process.pid):
                self.hasten()

    def _run(self) -> None:
        next_beat = 0.0
        while not self._stopping:
            now = _clock_s()
            if now >= next_beat or self._hastened:
                self._hastened = False
                next_beat = now + (self._pace.beat_every_s if self._round() else RETRY_EVERY_S)
            while self._expiring:
                self._sweep(self._expiring.pop())
            self._flush()
            self._wake.wait(FLUSH_EVERY_S)
            self._wake.clear()

    def _round(self) -> bool:
        """One heartbeat of everything; False when a store did not answer and it should be tried
        again soon.
        """
        complete, live, busy, listen = True, 0, [], []
        for crew in self._crews.all():
            try:
                found = beat(crew.connected(), self._deaths, self.rescuer, self._pace)
                count = found.here
                if found.strangers:
                    listen.append(crew)
            except StoreUnreachable as error:
                crew.failed(error)
                log.warning("%s: %s", crew.project.name, error)
                complete, count = False, 1  # who cannot be asked may be alive: the daemon stays
            except OctetError as error:
                log.warning("%s: %s", crew.project.name, error)
                count = 0
            if count:
                busy.append(crew)
            live += count
        self._live = live
        self._ear.listen(listen)
        self._crews.remember(busy)
        if complete:
            self._publish(busy)
        return complete

    def _expired(self, crew: Crew) -> None:
        """A heartbeat of the project has run out, as its server says."""
        self._expiring.append(crew)
        self._wake.set()

    def _sweep(self, crew: Crew) -> None:
        try:
            octet = crew.connected()
            alive = {
                agent.id
                for agent in octet.agents.list()
                if (process := local_process(agent)) and is_alive(process)
            }
            sweep(octet, self.rescuer, alive, self._pace.sweep_ms)
        except OctetError as error:
            log.warning(
                "%s: a lease that ran out is left to the next round: %s", crew.project.name, error
            )

    def _publish(self, busy: list[Crew]) -> None:
        try:
            self._hints.write([hints_of(crew) for crew in busy])
        except OctetError as error:
            log.warning("git's hooks are not told who is here: %s", error)

    def _flush(self) -> None:
        try:
            written = (
                embedded.written()
            )  # before: what comes during the flush is flushed in the next second
            if written != self._flushed:
                embedded.flush_to_disk()
                self._flushed = written
        except OSError as error:
            log.warning("the embedded server's data cannot be flushed to disk: %s", error)

    def _bury_process(self, process: ProcessIdentity) -> None:
        for crew in self._crews.all():
            try:
                bury_process(crew, process, self.rescuer)
            except OctetError as error:
                log.warning(
                    "%s: the end of %s is left to the sweep: %s", crew.project.name, process, error
                )


def local_process(agent: Agent) -> ProcessIdentity | None:
    """The process of an agent of this machine; None for another machine's, or for one without a
    process.
    """
    if agent.host != host_id() or not agent.process:
        return None
    try:
        return ProcessIdentity.parse(agent.process.partition("#")[0])
    except ValueError:
        return None


def hints_of(crew: Crew) -> Hints:
    """What git's hooks need to know of a project."""
    octet, hints = crew.connected(), Hints()
    for agent in octet.agents.list():
        add_agent(hints, agent, local_process(agent))
    if any(lock.resource.startswith("repository:") for lock in octet.locks.list()):
        hints.held.add(str(crew.root))
    return hints


@dataclass(frozen=True)
class Round:
    """How many agents live `here`, and whether there are `strangers` whose leases alone can tell."""

    here: int
    strangers: bool


def beat(octet: Octet, deaths: DeathWatch, rescuer: Rescuer, pace: Pace) -> Round:
    """Renew the living of this machine, then bury its dead and whose lease ran out.

    In this order, because a burial takes its time (the dead one's work is saved first) and may
    fail.

    One that only named itself (a script in OCTET_AGENT) has no process to watch: it counts until
    its lease runs out.
    """
    living: list[Agent] = []
    dead: list[Agent] = []
    named = strangers = 0
    for agent in octet.agents.list():
        strangers += is_stranger(agent)
        process = local_process(agent)
        if process is None:
            named += agent.kind == "external" and agent.host == host_id()
            continue
        if is_alive(process):
            living.append(agent)
            deaths.watch(process)
        else:
            dead.append(agent)
    octet.agents.beat(living, pace.lease_ms)
    give_back_untouched(octet, living, rescuer.save)
    for agent in dead:
        rescuer.save(octet, agent)
        log_estate(octet.agents.bury(agent))
    sweep(octet, rescuer, {agent.id for agent in living}, pace.sweep_ms)
    return Round(len(living) + named, strangers > 0)


def bury_process(crew: Crew, process: ProcessIdentity, rescuer: Rescuer) -> None:
    """Bury every agent (a session and its sub-agents) of a process that has ended."""
    octet = crew.connected()
    for agent in octet.agents.list():
        if local_process(agent) == process:
            rescuer.save(octet, agent)
            log_estate(octet.agents.bury(agent))


def _clock_s() -> float:
    """Time that goes on while the machine sleeps, where there is such a clock: after a sleep the
    leases are renewed at once.
    """
    return (
        time.clock_gettime(time.CLOCK_BOOTTIME)
        if hasattr(time, "CLOCK_BOOTTIME")
        else time.monotonic()
    )
