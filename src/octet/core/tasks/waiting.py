"""A claim that waits: woken by the project's events, in the order of arrival.

A waiter subscribes first and tries then, so that it misses nothing. A task goes to the agent that
has waited longest among those with the same capabilities; if it does not claim it (its process was
killed), the next does after `GRACE_S`.
"""

from __future__ import annotations

import time

from octet.base.errors import NothingToClaim, NotYourTurn
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task
from octet.core.tasks.tasks import ClaimOrder, Tasks
from octet.store.scripts import Store
from octet.store.subscription import Subscription

# Events that may make a task claimable: it is new, its dependencies or its scope are free, an
# earlier waiter is served.
WAKING = ("task_*", "agent_*")
GRACE_S = 0.25
# A value that was LPUSHed by hand publishes nothing, and a subscription ends with its connection:
# look this often all the same.
LOOK_EVERY_S = 30.0


def claim_when_there(store: Store, agent: Agent, stage: str, wait_s: float) -> Task:
    """Claim the first task of a stage that fits, within `wait_s` seconds; Ctrl-C gives up the place
    in the queue.

    Raises:
        NothingToClaim: the time is over. All other errors of `Tasks.claim`.
    """
    end = time.monotonic() + wait_s
    try:
        with Subscription(store, patterns=[*map(store.keys.channel, WAKING)]) as subscription:
            return _claim(store, subscription, agent, stage, end)
    finally:
        Tasks(store).stop_waiting(agent, stage)


def _claim(store: Store, subscription: Subscription, agent: Agent, stage: str, end: float) -> Task:
    tasks, turn = Tasks(store), ClaimOrder.WAIT
    while True:
        try:
            return tasks.claim(agent, stage, turn=turn)
        except NothingToClaim as nothing:
            left_s = end - time.monotonic()
            if left_s <= 0:
                raise
            offered_s = nothing.offer_ms / 1000 or LOOK_EVERY_S
            late = isinstance(nothing, NotYourTurn)
            woken = subscription.wait(min(left_s, GRACE_S if late else LOOK_EVERY_S, offered_s))
            turn = ClaimOrder.NOW if late and not woken else ClaimOrder.WAIT
