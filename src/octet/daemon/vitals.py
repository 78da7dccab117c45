"""Heartbeats of this machine's agents in one batch, the watch over their processes, and the sweep for the dead of others.

An agent whose process lives is never declared dead here, however long it thinks or its machine slept: each round first
renews the leases of the living and only then looks for leases that ran out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from octet import server
from octet.agents import Agent, Estate
from octet.api import Octet
from octet.daemon.crews import Crew, Crews
from octet.daemon.deaths import DeathWatch
from octet.daemon.hints import HintFile, Hints, add_agent
from octet.daemon.rescuer import Rescuer
from octet.dirs import state_dir
from octet.errors import OctetError, StoreUnreachable
from octet.process import ProcessIdentity, host_id, is_alive
from octet.tenancy import is_here

log = logging.getLogger("octet.vitals")

BEAT_EVERY_S = 10.0
RETRY_EVERY_S = 1.0
FLUSH_EVERY_S = 1.0


class Vitals:
    """The daemon's clockwork; `start` and `stop` once each."""

    def __init__(self, crews: Crews) -> None:
        self._crews = crews
        self.rescuer = Rescuer()
        self._deaths = DeathWatch(self._bury_process)
        self._hints = HintFile(state_dir())
        self._wake = threading.Event()
        self.at_stop: list[Callable[[], None]] = []
        self._stopping = False
        self._hastened = False
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
        """The daemon ends for want of agents: let the embedded server end too, unless somebody else is connected to it."""
        for crew in self._crews.all():
            if crew.octet:
                crew.octet.close()
        try:
            server.stop_when_unused()
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
            now = time.monotonic()
            if now >= next_beat or self._hastened:
                self._hastened = False
                next_beat = now + (BEAT_EVERY_S if self._round() else RETRY_EVERY_S)
            self._flush()
            self._wake.wait(FLUSH_EVERY_S)
            self._wake.clear()

    def _round(self) -> bool:
        """One heartbeat of everything; False when a store did not answer and it should be tried again soon."""
        complete, live, busy = True, 0, []
        for crew in self._crews.all():
            try:
                count = beat(crew.connected(), self._deaths, self.rescuer)
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
        self._crews.remember(busy)
        if complete:
            self._publish(busy)
        return complete

    def _publish(self, busy: list[Crew]) -> None:
        try:
            self._hints.write([hints_of(crew) for crew in busy])
        except OctetError as error:
            log.warning("git's hooks are not told who is here: %s", error)

    def _flush(self) -> None:
        try:
            server.flush_to_disk()
        except OSError as error:
            log.warning("the embedded server's data cannot be flushed to disk: %s", error)

    def _bury_process(self, process: ProcessIdentity) -> None:
        for crew in self._crews.all():
            try:
                bury_process(crew, process, self.rescuer)
            except OctetError as error:
                log.warning("%s: the end of %s is left to the sweep: %s", crew.project.name, process, error)


def local_process(agent: Agent) -> ProcessIdentity | None:
    """The process of an agent of this machine; None for another machine's, or for one without a process."""
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


def beat(octet: Octet, deaths: DeathWatch, rescuer: Rescuer) -> int:
    """Renew the living of this machine, then bury its dead and whose lease ran out; how many live here.

    In this order, because a burial takes its time (the dead one's work is saved first) and may fail.

    One that only named itself (a script in OCTET_AGENT) has no process to watch: it counts until its lease runs out.
    """
    living: list[Agent] = []
    dead: list[Agent] = []
    named = 0
    for agent in octet.agents.list():
        process = local_process(agent)
        if process is None:
            named += agent.kind == "external" and agent.host == host_id()
            continue
        if is_alive(process):
            living.append(agent)
            deaths.watch(process)
        else:
            dead.append(agent)
    octet.agents.beat(living)
    for agent in dead:
        rescuer.save(octet, agent)
        _log_estate(octet.agents.bury(agent))
    alive = {agent.id for agent in living}
    for agent in octet.agents.without_heartbeat():
        if agent.id not in alive:
            if is_here(agent.host):  # what lies on another machine only a daemon there can keep
                rescuer.save(octet, agent)
            _log_estate(octet.agents.bury_expired(agent))
    return len(living) + named


def bury_process(crew: Crew, process: ProcessIdentity, rescuer: Rescuer) -> None:
    """Bury every agent (a session and its sub-agents) of a process that has ended."""
    octet = crew.connected()
    for agent in octet.agents.list():
        if local_process(agent) == process:
            rescuer.save(octet, agent)
            _log_estate(octet.agents.bury(agent))


def _log_estate(estate: Estate | None) -> None:
    if estate:
        log.info("%s is dead; given back: tasks %s, locks %s", estate.agent, list(estate.tasks), list(estate.resources))
