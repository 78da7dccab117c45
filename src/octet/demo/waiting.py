"""How an idle agent of the demo waits for its next prompt."""

from __future__ import annotations

from octet.client.api import Octet
from octet.core.tasks.record import TaskState
from octet.demo.actions import Until

# An event may come between a look at the store and the subscription, so look again after this time.
LOOK_AGAIN_S = 0.3


def wait_for_work(octet: Octet, total: int, until: Until) -> bool:
    """Block until a task waits for the stage `until`; False once all `total` tasks have ended."""
    while True:
        if until != "complete" and octet.tasks.waiting(until):
            return True
        counts = octet.tasks.counts()
        if counts[TaskState.DONE] + counts[TaskState.DEAD] >= total:
            return False
        next(octet.events.watch("*", timeout_s=LOOK_AGAIN_S), None)
