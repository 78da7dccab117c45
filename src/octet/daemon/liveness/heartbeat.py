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
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from octet.base.dirs import state_dir
from octet.base.errors import OctetError, StoreUnreachable
from octet.base.process import ProcessIdentity, host_id, is_alive
from octet.client.api import Octet
from octet.core.agents.registry import LEASE_MS, Agent
from octet.daemon.liveness.fence_cache import FenceCache, FenceEntries, add_agent
from octet.daemon.liveness.process_watcher import ProcessWatcher
from octet.daemon.liveness.rescuer import Rescuer
from octet.daemon.liveness.sweep import ExpirySubscriber, is_stranger, log_estate, sweep
from octet.daemon.projects.sessions import Projects, ProjectSession
from octet.store import embedded

log = logging.getLogger(__name__)

AfterBeat = Callable[[Octet, Sequence[Agent]], None]
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


class Heartbeat:
    """The daemon's clockwork; `start` and `stop` once each."""

    def __init__(self, projects: Projects, pace: Pace | None = None) -> None:
        self._projects = projects
        self._pace = pace or Pace.of_environment()
        self.rescuer = Rescuer()
        self._watcher = ProcessWatcher(self._bury_process)
        self._fence_cache = FenceCache(state_dir())
        self._expiry = ExpirySubscriber(self._expired)
        self._expiring: list[ProjectSession] = []
        self._wake = threading.Event()
        # What else follows the heartbeat of a project's living agents, and what ends with us.
        self.after_beat: list[AfterBeat] = []
        self.at_stop: list[Callable[[], None]] = []
        self._stopping = False
        self._hastened = False
        self._flushed: frozenset[tuple[str, int, int]] = frozenset()
        self._live = 0
        self._thread = threading.Thread(target=self._run, name="vitals", daemon=True)

    def start(self) -> None:
        """Take up the projects of an earlier daemon and begin."""
        self._projects.recall()
        self._thread.start()

    def stop(self) -> None:
        """End; agents stay registered, their leases run on for their TTL."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout=5)
        self._expiry.stop()
        self._watcher.stop()
        self.rescuer.stop()
        for stop in self.at_stop:
            stop()

    def live_agents(self) -> int:
        """How many agents of this machine were alive at the last round."""
        return self._live

    def beat_soon(self) -> None:
        """A project has come up: do a round now."""
        self._hastened = True
        self._wake.set()

    def rest(self) -> None:
        """The daemon ends for want of agents: let the embedded server end too, unless somebody else
        is connected to it.
        """
        for project in self._projects.all():
            if project.octet:
                project.octet.close()
        try:
            embedded.stop_when_unused()
        except OctetError as error:
            log.warning("the embedded server does not end: %s", error)

    def watch(self, agent: Agent) -> None:
        """A hook has just registered an agent: watch its process from now on."""
        self._live = max(self._live, 1)
        if process := local_process(agent):
            self._watcher.watch(process)
            if not self._fence_cache.knows(process.pid):
                self.beat_soon()

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
        for project in self._projects.all():
            try:
                found = beat(
                    project.connected(), self._watcher, self.rescuer, self._pace, self.after_beat
                )
                count = found.here
                if found.strangers:
                    listen.append(project)
            except StoreUnreachable as error:
                project.mark_down(error)
                log.warning("%s: %s", project.name, error)
                complete, count = False, 1  # who cannot be asked may be alive: the daemon stays
            except OctetError as error:
                log.warning("%s: %s", project.name, error)
                count = 0
            if count:
                busy.append(project)
            live += count
        self._live = live
        self._expiry.listen(listen)
        self._projects.remember(busy)
        if complete:
            self._publish(busy)
        return complete

    def _expired(self, project: ProjectSession) -> None:
        """A heartbeat of the project has run out, as its server says."""
        self._expiring.append(project)
        self._wake.set()

    def _sweep(self, project: ProjectSession) -> None:
        try:
            octet = project.connected()
            alive = {
                agent.id
                for agent in octet.agents.list()
                if (process := local_process(agent)) and is_alive(process)
            }
            sweep(octet, self.rescuer, alive, self._pace.sweep_ms)
        except OctetError as error:
            log.warning(
                "%s: a lease that ran out is left to the next round: %s", project.name, error
            )

    def _publish(self, busy: list[ProjectSession]) -> None:
        try:
            self._fence_cache.write([fence_entries(project) for project in busy])
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
        for project in self._projects.all():
            try:
                bury_process(project, process, self.rescuer)
            except OctetError as error:
                log.warning(
                    "%s: the end of %s is left to the sweep: %s", project.name, process, error
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


def fence_entries(project: ProjectSession) -> FenceEntries:
    """What git's hooks need to know of a project."""
    octet, entries = project.connected(), FenceEntries()
    for agent in octet.agents.list():
        add_agent(entries, agent, local_process(agent))
    if any(lock.resource.startswith("repository:") for lock in octet.locks.list()):
        entries.held.add(str(project.root))
    return entries


@dataclass(frozen=True)
class Round:
    """How many agents live `here`, and whether there are `strangers` whose leases alone can tell."""

    here: int
    strangers: bool


def beat(
    octet: Octet,
    watcher: ProcessWatcher,
    rescuer: Rescuer,
    pace: Pace,
    after_beat: Sequence[AfterBeat] = (),
) -> Round:
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
            watcher.watch(process)
        else:
            dead.append(agent)
    octet.agents.heartbeat(living, pace.lease_ms)
    for act in after_beat:
        act(octet, living)
    for agent in dead:
        rescuer.save(octet, agent)
        log_estate(octet.agents.expire(agent))
    sweep(octet, rescuer, {agent.id for agent in living}, pace.sweep_ms)
    return Round(len(living) + named, strangers > 0)


def bury_process(project: ProjectSession, process: ProcessIdentity, rescuer: Rescuer) -> None:
    """Bury every agent (a session and its sub-agents) of a process that has ended."""
    octet = project.connected()
    for agent in octet.agents.list():
        if local_process(agent) == process:
            rescuer.save(octet, agent)
            log_estate(octet.agents.expire(agent))


def _clock_s() -> float:
    """Time that goes on while the machine sleeps, where there is such a clock: after a sleep the
    leases are renewed at once.
    """
    return (
        time.clock_gettime(time.CLOCK_BOOTTIME)
        if hasattr(time, "CLOCK_BOOTTIME")
        else time.monotonic()
    )
