"""The daemon's clockwork: heartbeats of this machine's agents in one batch, the watch over their
processes, and what else a round takes.

An agent whose process lives is never declared dead here, however long it thinks or its machine
slept: each round first renews the leases of the living, and only then looks for leases that ran
out.
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
from octet.base.process import ProcessIdentity, is_alive
from octet.core.agents.registry import LEASE_MS, Agent
from octet.daemon.liveness.fence_cache import FenceCache
from octet.daemon.liveness.process_watcher import ProcessWatcher
from octet.daemon.liveness.rescuer import Rescuer
from octet.daemon.liveness.round import (
    AfterBeat,
    beat,
    expire_process,
    fence_entries,
    local_process,
)
from octet.daemon.liveness.sweep import ExpirySubscriber, sweep
from octet.daemon.projects.sessions import Projects, ProjectSession
from octet.store import embedded

log = logging.getLogger(__name__)

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
    def sweeper_ms(self) -> int:
        """The sweeper lease of a machine that goes silent is free before its agents' leases end."""
        return self.lease_ms * 5 // 6


class Heartbeat:
    """`start` and `stop` once each."""

    def __init__(self, projects: Projects, pace: Pace | None = None) -> None:
        self._projects = projects
        self._pace = pace or Pace.of_environment()
        self.rescuer = Rescuer()
        # What else follows each beat, and what ends with us.
        self.after_beat: list[AfterBeat] = []
        self.at_stop: list[Callable[[], None]] = []
        self._watcher = ProcessWatcher(self._process_ended)
        self._fence_cache = FenceCache(state_dir())
        self._expiry = ExpirySubscriber(self._lease_expired)
        self._expiring: list[ProjectSession] = []
        self._wake = threading.Event()
        self._stopping = False
        self._beat_now = False
        self._flushed: frozenset[tuple[str, int, int]] = frozenset()
        self._live = 0
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Load the projects of an earlier daemon and begin."""
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
        self._beat_now = True
        self._wake.set()

    def close_stores(self) -> None:
        """The daemon ends for want of agents: let the embedded server end too, unless another
        client is connected to it.
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
            if not self._fence_cache.has(process.pid):
                self.beat_soon()

    # The thread

    def _run(self) -> None:
        next_beat = 0.0
        while not self._stopping:
            now = _clock_s()
            if now >= next_beat or self._beat_now:
                self._beat_now = False
                next_beat = now + (self._pace.beat_every_s if self._round() else RETRY_EVERY_S)
            while self._expiring:
                self._sweep(self._expiring.pop())
            self._flush()
            self._wake.wait(FLUSH_EVERY_S)
            self._wake.clear()

    def _round(self) -> bool:
        """One heartbeat of everything; False when a store did not answer, and the round should be
        repeated soon.
        """
        complete, live, busy, elsewhere = True, 0, [], []
        for project in self._projects.all():
            count = 0
            try:
                count, has_others = self._beat(project)
                if has_others:
                    elsewhere.append(project)
            except StoreUnreachable as error:
                project.mark_down(error)
                log.warning("%s: %s", project.name, error)
                complete, count = False, 1  # its agents may be alive: the daemon stays
            except OctetError as error:
                log.warning("%s: %s", project.name, error)
            if count:
                busy.append(project)
            live += count
        self._live = live
        self._expiry.listen(elsewhere)
        self._projects.remember(busy)
        if complete:
            self._write_fence_cache(busy)
        return complete

    def _beat(self, project: ProjectSession) -> tuple[int, bool]:
        found = beat(
            project.connected(),
            self._watcher.watch,
            self.rescuer,
            self._pace.lease_ms,
            self._pace.sweeper_ms,
            self.after_beat,
        )
        return found.here, found.elsewhere

    def _lease_expired(self, project: ProjectSession) -> None:
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
            sweep(octet, self.rescuer, alive, self._pace.sweeper_ms)
        except OctetError as error:
            log.warning("%s: an expired lease is left to the next round: %s", project.name, error)

    def _write_fence_cache(self, busy: list[ProjectSession]) -> None:
        try:
            self._fence_cache.write([fence_entries(project) for project in busy])
        except OctetError as error:
            log.warning("git's hooks are not told who is here: %s", error)

    def _flush(self) -> None:
        try:
            # Read first: what comes during the flush is flushed in the next second.
            written = embedded.data_stamps()
            if written != self._flushed:
                embedded.flush_to_disk()
                self._flushed = written
        except OSError as error:
            log.warning("the embedded server's data cannot be flushed to disk: %s", error)

    def _process_ended(self, process: ProcessIdentity) -> None:
        for project in self._projects.all():
            try:
                expire_process(project, process, self.rescuer)
            except OctetError as error:
                log.warning(
                    "%s: the end of %s is left to the sweep: %s", project.name, process, error
                )


def _clock_s() -> float:
    """Time that goes on while the machine sleeps, where there is such a clock: after a sleep the
    leases are renewed at once.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
