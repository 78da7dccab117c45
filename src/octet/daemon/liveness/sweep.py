"""Agents of machines that went silent: their leases run out, and one daemon of all expires them.

    a heartbeat runs out ─▶ the server says so, where it does (at most once) ─▶ ┐
    every round, for certainty ───────────────────────────────────────────────▶ ┴─▶ sweep

The sweeper lease is kept by the sweeper's own rounds, for less time than an agent's lease: when its
machine goes silent, another daemon has it before that machine's agents are due. Each holder has a
greater epoch, and an expiry names it: a daemon that slept during its sweep expires no agent any
more, and the script of an expiry checks the heartbeat itself.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection

from octet.base.errors import OctetError
from octet.base.process import host_id, identify
from octet.client.api import Octet
from octet.core.agents.registry import Agent, Released
from octet.daemon.liveness.rescuer import Rescuer
from octet.daemon.projects.sessions import ProjectSession
from octet.store.subscription import Subscription
from octet.worktree.ownership import is_this_host

log = logging.getLogger(__name__)

LISTEN_S = 60.0
RETRY_S = 5.0


def sweep(octet: Octet, rescuer: Rescuer, alive: Collection[str], ttl_ms: int) -> None:
    """Expire the agents whose lease ran out: this machine's always, others' where this daemon has
    the sweeper lease, for `ttl_ms` from now.

    `alive` are agents of this machine that are known to live, whatever their leases say.
    """
    epoch = octet.agents.acquire_sweeper(str(identify(os.getpid())), ttl_ms)
    for agent in octet.agents.without_heartbeat():
        if agent.id in alive:
            continue
        if is_this_host(agent.host):  # one without a process: only this machine can save its work
            rescuer.save(octet, agent)
            log_release(octet.agents.expire_silent(agent))
        elif epoch:
            log_release(octet.agents.expire_silent(agent, epoch))


def is_lease_only(agent: Agent) -> bool:
    """Whether only its lease can tell that an agent is dead."""
    return not agent.process or agent.host != host_id()


def log_release(released: Released | None) -> None:
    """Log what a dead agent gave back; None: it had not expired."""
    if released:
        log.info(
            "%s is dead; given back: tasks %s, locks %s",
            released.agent,
            list(released.tasks),
            list(released.resources),
        )


class ExpirySubscriber:
    """Listens for heartbeats that run out, in a thread for each project with agents elsewhere;
    calls `expired(project)`.

    Only a server with `notify-keyspace-events` of `Ex` or more says anything. Octet's own does;
    another's settings are not changed for that.
    """

    def __init__(self, expired: Callable[[ProjectSession], None]) -> None:
        self._expired = expired
        self._stop = threading.Event()
        self._wanted: dict[tuple[str, str], ProjectSession] = {}
        self._threads: list[threading.Thread] = []

    def listen(self, projects: Collection[ProjectSession]) -> None:
        """Listen for these from now on, and for no others."""
        wanted = {(str(project.root), project.url or ""): project for project in projects}
        fresh = [project for at, project in wanted.items() if self._wanted.get(at) is not project]
        self._wanted = wanted
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for project in fresh:
            name = f"expiry {project.name}"
            thread = threading.Thread(target=self._run, args=(project,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Listen no more; the threads end within about a second."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=2)

    def _run(self, project: ProjectSession) -> None:
        while self._wants(project):
            try:
                self._hear(project)
            except OctetError as error:
                log.info(
                    "%s: not told of leases that run out, the sweep will see it: %s",
                    project.name,
                    error,
                )
                self._stop.wait(RETRY_S)

    def _wants(self, project: ProjectSession) -> bool:
        wanted = self._wanted.values()
        return not self._stop.is_set() and any(known is project for known in wanted)

    def _hear(self, project: ProjectSession) -> None:
        store = project.connected().store
        database = store.client.get_connection_kwargs().get("db") or 0
        prefix = store.keys.heartbeat("")
        channel = f"__keyevent@{database}__:expired"
        with Subscription(store, channel, stop=self._stop) as subscription:
            self._expired(project)  # what ran out before
            while self._wants(project):
                if any(key.startswith(prefix) for key in subscription.wait(LISTEN_S)):
                    self._expired(project)
