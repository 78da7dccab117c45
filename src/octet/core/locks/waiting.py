"""Waiting for locks without polling, in the order of arrival.

The script that frees a lock calls its first waiter, on a list that this waiter blocks on, and tells
the next one to look a moment later: if the first has not come by then, its process is dead. A
waiter that is silent for some seconds loses its place.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from octet.base.errors import LockHeld, StoreUnreachable
from octet.store.scripts import Store

T = TypeVar("T")
# A third of the silence after which a waiter counts as dead (lua/include/lock_queue.lua).
LOOK_EVERY_S = 5.0
# `stop` is heard between two looks, each shorter than the connection's own time-out.
HEAR_EVERY_S = 1.0


@dataclass
class QueuePlace:
    """A place in the queue: the waiter's name, and its ticket once it has one."""

    waiter: str = field(default_factory=lambda: uuid.uuid4().hex)
    ticket: str = ""


def wait_for_turn(
    store: Store,
    acquire: Callable[[QueuePlace], T],
    wait_s: float,
    stop: threading.Event | None = None,
) -> T:
    """Call `acquire` at once and at each turn of its place, until it no longer raises `LockHeld`;
    returns its result.

    Raises:
        LockHeld: the time is over, or `stop` is set. All other errors of `acquire`.
    """
    place, end, stop = QueuePlace(), time.monotonic() + wait_s, stop or threading.Event()
    queued = True
    try:
        while True:
            try:
                found = acquire(place)
            except LockHeld as held:
                if time.monotonic() >= end or stop.is_set():
                    raise
                # A lock that is not renewed runs out unannounced.
                look_s = (
                    min(LOOK_EVERY_S, held.ttl_ms / 1000 + 0.01)
                    if held.ttl_ms > 0
                    else LOOK_EVERY_S
                )
                _wait(store, place, min(end, time.monotonic() + look_s), stop)
            else:
                queued = False
                return found
    finally:
        if queued:
            with suppress(StoreUnreachable):  # then the place is lost by its silence
                give_up(store, place)


def _wait(store: Store, place: QueuePlace, until: float, stop: threading.Event) -> None:
    """Block until the place is called, or `until`, on the clock of `time.monotonic`."""
    while (left_s := until - time.monotonic()) > 0 and not stop.is_set():
        with store.errors():
            word = store.client.blpop(
                [store.keys.turn(place.waiter)], timeout=max(0.01, min(left_s, HEAR_EVERY_S))
            )
        after_s = int(word[1]) / 1000 if word and word[1].isdigit() else 0.0
        if word and not after_s:
            return
        until = min(until, time.monotonic() + after_s) if after_s else until


def give_up(store: Store, place: QueuePlace) -> None:
    """Leave the queue; the next waiter is called."""
    store.run("lock/leave_queue", waiter=place.waiter)
