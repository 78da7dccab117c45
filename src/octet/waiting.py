"""A claim that waits: woken by the project's events, in the order in which the waiters came.

Whoever waits subscribes first and then tries, so that nothing falls between. A task goes to the agent that has waited longest of those
that fit the same tasks; should that one not come for it (its process was killed), the next takes it after `GRACE_S`.
"""

from __future__ import annotations

import time
from typing import Any

from octet.agents import Agent
from octet.errors import NothingToClaim, NotYourTurn
from octet.store.scripts import Store
from octet.tasks import Task, Tasks, Turn

# What may make a task claimable: it came, its dependencies or its scope came free, an earlier waiter is served.
WAKING = ("task_*", "agent_*")
GRACE_S = 0.25
# A value that somebody LPUSHed by hand publishes nothing, and a subscription dies with its connection: look this often all the same.
LOOK_EVERY_S = 30.0
# redis-py hears Ctrl-C between two looks at the socket.
HEAR_EVERY_S = 1.0


def claim_when_there(store: Store, agent: Agent, stage: str, wait_s: float) -> Task:
    """Claim the first task of a stage that fits, waiting for one at most `wait_s` seconds; Ctrl-C gives up the place in the queue.

    Raises:
        NothingToClaim: the time is over. The others are those of `Tasks.claim`.
    """
    end = time.monotonic() + wait_s
    with store.errors():
        channel = store.client.pubsub(ignore_subscribe_messages=True)
    try:
        with store.errors():
            channel.psubscribe(*map(store.keys.channel, WAKING))
        return _claim(store, channel, agent, stage, end)
    finally:
        channel.close()
        Tasks(store).stop_waiting(agent, stage)


def _claim(store: Store, channel: Any, agent: Agent, stage: str, end: float) -> Task:
    tasks, turn = Tasks(store), Turn.WAIT
    while True:
        try:
            return tasks.claim(agent, stage, turn=turn)
        except NothingToClaim as nothing:
            left_s = end - time.monotonic()
            if left_s <= 0:
                raise
            offered_s = nothing.offer_ms / 1000 or LOOK_EVERY_S
            late = isinstance(nothing, NotYourTurn)
            woken = _wait(store, channel, min(left_s, GRACE_S if late else LOOK_EVERY_S, offered_s))
            turn = Turn.NOW if late and not woken else Turn.WAIT


def _wait(store: Store, channel: Any, timeout_s: float) -> bool:
    """Whether an event came; all that came with it are read too: one more try answers them together."""
    end, woken = time.monotonic() + timeout_s, False
    with store.errors():
        while (left_s := end - time.monotonic()) > 0 and not woken:
            woken = channel.get_message(timeout=min(left_s, HEAR_EVERY_S)) is not None
        while woken and channel.get_message(timeout=0) is not None:
            continue
    return woken
