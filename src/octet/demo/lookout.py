"""What an idle agent of the demo waits for, looked up in the store and woken by its events."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping

from octet.api import Octet
from octet.demo.acts import Answer, Until
from octet.events import Event
from octet.tasks import State

# Longest time without an event after which the state is looked at again: an event may come between a look and the subscription.
LOOK_AGAIN_S = 0.3
WHOLE_LOG = 10_000


class Lookout:
    """One agent's view of the store while it has nothing to do.

    Args:
        role: whose inbox `messages` means.
        total: the number of tasks of the feature.
    """

    def __init__(self, octet: Octet, role: str, total: int) -> None:
        self._octet = octet
        self._role = role
        self._total = total
        self._seen = ""
        self._stopped = threading.Event()
        self._looks: Mapping[str, Callable[[], str]] = {
            "build": self._waiting_task,
            "submitted": self._submissions,
            "messages": self._messages,
            "complete": str,
        }

    def wait(self, until: Until) -> Answer:
        """Block until there is work of a kind; not ok when there never will be, or after `stop`. See `acts.EndTurn`."""
        look = self._looks[until]
        while not self._stopped.is_set():
            if found := look():
                return Answer(found)
            if self._is_complete():
                break
            next(self._octet.events.watch("*", timeout_s=LOOK_AGAIN_S), None)
        return Answer(ok=False)

    def stop(self) -> None:
        """End a wait in another thread, within `LOOK_AGAIN_S`: the demo ends without the feature being complete."""
        self._stopped.set()

    def _is_complete(self) -> bool:
        counts = self._octet.tasks.counts()
        return counts[State.DONE] + counts[State.DEAD] >= self._total

    def _waiting_task(self) -> str:
        return str(self._octet.tasks.counts()[State.PENDING] or "")

    def _submissions(self) -> str:
        events = self._unseen(lambda event: event.type == "task_submitted")
        return json.dumps([{"task": event.fields["task"], "commit": event.fields["commit"]} for event in events]) if events else ""

    def _messages(self) -> str:
        # Not by the events: a prompt takes the oldest few, and what it leaves has no event of its own any more.
        return "yes" if self._octet.messages.waiting(self._role) else ""

    def _unseen(self, wanted: Callable[[Event], bool]) -> list[Event]:
        log = self._octet.events.log(WHOLE_LOG)
        new = [event for event in log if _order(event.id) > _order(self._seen) and wanted(event)]
        if log:
            self._seen = log[-1].id
        return new


def _order(event_id: str) -> tuple[int, ...]:
    """A stream's ids are `<ms>-<number>`, and grow."""
    return tuple(int(part) for part in event_id.split("-") if part)
