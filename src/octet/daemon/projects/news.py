"""What a project's events may mean for its idle agents, and the subscription that receives them."""

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

log = logging.getLogger(__name__)

HEARD = ("message_*", "task_*", "agent_*", "lock_released", "lock_broken")
# A task's events that make nothing claimable.
NOTHING_NEW = frozenset({"task_progress", "task_claimed", "task_renewed", "task_rescued"})
# A dead agent's share of its role's mail goes to another agent; a resumed one gets what came in the
# pause.
FREES_MAIL = frozenset({"agent_died", "agent_left", "agent_resumed", "orchestrator_elected"})
# How soon a change of the settings, and `stop`, are noticed; checking more often would cost CPU
# while fifty agents idle.
LISTEN_S = 5.0
FIRST_RETRY_S = 0.2
MAX_RETRY_S = 5.0


@dataclass(frozen=True)
class News:
    """What may be new since the last check."""

    inboxes: frozenset[str] | None = frozenset()  # that got mail; None: any may have
    tasks: bool = False  # a task may have become claimable
    locks: bool = False  # a lock is free
    agents: bool = False  # agents came, went or changed
    claimed: frozenset[str] = frozenset()  # agents that claimed a task

    @classmethod
    def of(cls, bodies: Iterable[str]) -> News:
        """From the published bodies of events; one that is not Octet's says nothing."""
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
    """A project as it is now: a `ProjectSession` that `Projects.find` returned."""

    def connected(self) -> Octet: ...

    def mark_down(self, error: StoreUnreachable) -> None: ...


class Listener:
    """One subscription, in a thread of its own. It begins again, with `EVERYTHING`, when it broke
    or the project got another store.
    """

    def __init__(
        self, name: str, find: Callable[[], Source | None], tell: Callable[[News], None]
    ) -> None:
        """`find` returns the project, None when it no longer takes part: then the listener tells
        `EVERYTHING` a last time, and ends.
        """
        self._find = find
        self._tell = tell
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"wakes {name}", daemon=True)
        self._thread.start()

    def stop(self, within_s: float = 0.0) -> None:
        """End within `LISTEN_S`; waits for the end at most `within_s`."""
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
            retry_s = min(retry_s * 2, MAX_RETRY_S)
        self._tell(EVERYTHING)

    def _listen(self, source: Source, octet: Octet) -> None:
        patterns = [octet.store.keys.channel(kind) for kind in HEARD]
        with Subscription(
            octet.store, patterns=patterns, stop=self._stop, read_s=LISTEN_S
        ) as subscription:
            self._tell(EVERYTHING)
            while not subscription.stopped and self._find() is source:
                if news := News.of(subscription.wait(LISTEN_S)):
                    self._tell(news)


def _read(body: str) -> Mapping[str, Any] | None:
    try:
        found = from_json(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
