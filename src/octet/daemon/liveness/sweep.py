"""The dead of machines that went silent: their leases run out, and one daemon of all buries them.

    a heartbeat runs out ─▶ the server says so, where it does (at most once) ─▶ ┐ every round, for
    certainty ───────────────────────────────────────────────▶ ┴ whoever has the sweep buries

Whoever has the sweep keeps it by its own rounds, for less than an agent's lease: when its machine
goes silent, another has it before that machine's agents are due. Each new one has a greater epoch,
and a burial names it: one that slept in the midst of its sweep buries nobody any more, and the
script of a burial looks at the heartbeat itself.
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

log = logging.getLogger("octet.sweep")

LISTEN_S = 60.0
RETRY_S = 5.0


def sweep(octet: Octet, rescuer: Rescuer, alive: Collection[str], ttl_ms: int) -> None:
    """Bury whose lease ran out: of this machine always, of others where this daemon has the sweep,
    for `ttl_ms` from now.

    `alive` are agents of this machine that are known to live, whatever their leases say.
    """
    epoch = octet.agents.acquire_sweeper(_me(), ttl_ms)
    for agent in octet.agents.without_heartbeat():
        if agent.id in alive:
            continue
        if is_this_host(
            agent.host
        ):  # one without a process; its work is here, and nobody else can save it
            rescuer.save(octet, agent)
            log_estate(octet.agents.expire_silent(agent))
        elif epoch:
            log_estate(octet.agents.expire_silent(agent, epoch))


def is_stranger(agent: Agent) -> bool:
    """Whether only its lease can tell that an agent is dead."""
    return not agent.process or agent.host != host_id()


def log_estate(estate: Released | None) -> None:
    """What a burial gave back, if there was one."""
    if estate:
        log.info(
            "%s is dead; given back: tasks %s, locks %s",
            estate.agent,
            list(estate.tasks),
            list(estate.resources),
        )


class ExpirySubscriber:
    """Listens for heartbeats that run out, a thread for each project with agents elsewhere; calls
    `heard(project)`.

    Only a server with `notify-keyspace-events` of `Ex` or more says anything. Octet's own does;
    nobody else's is changed for that.
    """

    def __init__(self, heard: Callable[[ProjectSession], None]) -> None:
        self._heard = heard
        self._stop = threading.Event()
        self._listening: dict[tuple[str, str], ProjectSession] = {}
        self._threads: list[threading.Thread] = []

    def listen(self, projects: Collection[ProjectSession]) -> None:
        """Listen for these from now on, and for no others."""
        wanted = {(str(project.root), project.url or ""): project for project in projects}
        fresh = [
            project for key, project in wanted.items() if self._listening.get(key) is not project
        ]
        self._listening = wanted
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for project in fresh:
            self._threads.append(
                threading.Thread(
                    target=self._run, args=(project,), name=f"ear {project.name}", daemon=True
                )
            )
            self._threads[-1].start()

    def stop(self) -> None:
        """Hear nothing more; the threads end within about a second."""
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
        return not self._stop.is_set() and any(
            known is project for known in self._listening.values()
        )

    def _hear(self, project: ProjectSession) -> None:
        store = project.connected().store
        database = store.client.get_connection_kwargs().get("db") or 0
        prefix = store.keys.heartbeat("")
        with Subscription(store, f"__keyevent@{database}__:expired", stop=self._stop) as wakeups:
            self._heard(project)  # what ran out before
            while self._wants(project):
                if any(key.startswith(prefix) for key in wakeups.wait(LISTEN_S)):
                    self._heard(project)


def _me() -> str:
    return str(identify(os.getpid()))
