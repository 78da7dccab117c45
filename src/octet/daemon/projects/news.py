"""What a project's events may mean for those of its agents that are idle, and the one subscription
that hears them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from octet.base.errors import OctetError, StoreUnreachable
from octet.client.api import Octet
from octet.store.scripts import from_json
from octet.store.subscription import Subscription

log = logging.getLogger("octet.news")

HEARD = ("message_*", "task_*", "agent_*", "lock_released", "lock_broken")
# Of a task's events those that make nothing claimable.
NOTHING_NEW = frozenset({"task_progress", "task_claimed", "task_renewed", "task_rescued"})
# What a dead agent was given of its role's mail is for another; what came for a paused one, for
# itself.
FREES_MAIL = frozenset({"agent_died", "agent_left", "agent_resumed", "orchestrator_elected"})
# How soon a change of the project's settings is heard, and `stop`; each look at the clock costs
# fifty idle agents of their CPU.
LISTEN_S = 5.0
FIRST_RETRY_S = 0.2
LONGEST_RETRY_S = 5.0


@dataclass(frozen=True)
class News:
    """What may have come since the last look: mail for these inboxes (None: for any), tasks, free
    locks, other agents; and who claimed.
    """

    inboxes: frozenset[str] | None = frozenset()
    tasks: bool = False
    locks: bool = False
    agents: bool = False
    claimed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, bodies: Iterable[str]) -> News:
        """From the published bodies of events; what is none of Octet's says nothing."""
        events = [event for event in map(_read, bodies) if event]
        kinds = {str(event.get("type")) for event in events}
        agents = any(kind.startswith("agent_") for kind in kinds)
        sent = frozenset(
            str(event.get("to"))
            for event in events
            if str(event.get("type")).startswith("message_")
        )
        return cls(
            inboxes=None if kinds & FREES_MAIL else sent,
            tasks=agents
            or any(kind.startswith("task_") and kind not in NOTHING_NEW for kind in kinds),
            locks=bool(kinds & {"lock_released", "lock_broken"}),
            agents=agents,
            claimed=frozenset(
                str(event.get("agent")) for event in events if event.get("type") == "task_claimed"
            ),
        )

    def __bool__(self) -> bool:
        return self.inboxes is None or bool(
            self.inboxes or self.tasks or self.locks or self.agents or self.claimed
        )


EVERYTHING = News(inboxes=None, tasks=True, locks=True, agents=True)


class Source(Protocol):
    """A project as the daemon has it at the moment; `octet.daemon.projects.sessions.ProjectSession` by way of
    `Projects.find`.
    """

    def connected(self) -> Octet: ...

    def mark_down(self, error: StoreUnreachable) -> None: ...


class Listener:
    """One subscription in a thread of its own; it begins anew, with `EVERYTHING`, whenever it broke
    or the project got another store.
    """

    def __init__(
        self, name: str, find: Callable[[], Source | None], tell: Callable[[News], None]
    ) -> None:
        """`find` gives the project, None where it takes part no more: then all ends with a last
        word of `EVERYTHING`.
        """
        self._find = find
        self._tell = tell
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"wakes {name}", daemon=True)
        self._thread.start()

    def stop(self, within_s: float = 0.0) -> None:
        """End within `LISTEN_S`; waits for it as long as is said."""
        self._stop.set()
        self._thread.join(within_s)

    def _run(self) -> None:
        retry_s, said = FIRST_RETRY_S, ""
        while not self._stop.is_set():
            source = None
            try:
                source = self._find()
                if source is None:
                    break
                self._listen(source, source.connected())
                retry_s, said = FIRST_RETRY_S, ""
            except OctetError as error:
                if isinstance(error, StoreUnreachable) and source:
                    source.mark_down(error)
                if str(error) != said:
                    log.warning("idle sessions are not woken meanwhile: %s", error)
                said = str(error)
            except Exception:
                log.exception("a subscription failed")
            self._stop.wait(retry_s)
            retry_s = min(retry_s * 2, LONGEST_RETRY_S)
        self._tell(EVERYTHING)

    def _listen(self, source: Source, octet: Octet) -> None:
        patterns = [octet.store.keys.channel(kind) for kind in HEARD]
        with Subscription(
            octet.store, patterns=patterns, stop=self._stop, hear_s=LISTEN_S
        ) as wakeups:
            self._tell(EVERYTHING)
            while not wakeups.stopped and self._find() is source:
                if news := News.of(wakeups.wait(LISTEN_S)):
                    self._tell(news)


def _read(body: str) -> Mapping[str, Any] | None:
    try:
        found = from_json(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
