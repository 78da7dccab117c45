"""What an idle agent of the demo waits for, looked up in the store and woken by its events."""

from __future__ import annotations

import threading

from octet.client.api import Octet
from octet.core.tasks.record import TaskState
from octet.demo.acts import Answer, Until

# Longest time without an event after which the state is looked at again: an event may come between
# a look and the subscription.
LOOK_AGAIN_S = 0.3


class Lookout:
    """One agent's view of the store while it has nothing to do; `total` is the number of tasks of
    the feature.
    """

    def __init__(self, octet: Octet, total: int) -> None:
        self._octet = octet
        self._total = total
        self._stopped = threading.Event()

    def wait(self, until: Until) -> Answer:
        """Block until a task waits for a stage; not ok when none ever will, or after `stop`. See
        `acts.EndTurn`.
        """
        while not self._stopped.is_set():
            if until != "complete" and self._octet.tasks.waiting(until):
                return Answer()
            if self._is_complete():
                break
            next(self._octet.events.watch("*", timeout_s=LOOK_AGAIN_S), None)
        return Answer(ok=False)

    def stop(self) -> None:
        """End a wait in another thread, within `LOOK_AGAIN_S`: the demo ends without the feature
        being complete.
        """
        self._stopped.set()

    def _is_complete(self) -> bool:
        counts = self._octet.tasks.counts()
        return counts[TaskState.DONE] + counts[TaskState.DEAD] >= self._total
