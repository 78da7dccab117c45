"""Waiting for a change: a subscription, and a periodic look for changes that publish nothing.

A waiter subscribes, and the server confirms that, before it looks: no change falls between.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeVar

from octet.base.errors import StoreUnreachable
from octet.store.connection import COMMAND_TIMEOUT_S
from octet.store.failures import describe
from octet.store.scripts import Store

T = TypeVar("T")
# A change by redis-cli publishes nothing.
LOOK_EVERY_S = 3.0
# redis-py notices Ctrl-C between two reads of the socket.
READ_EVERY_S = 1.0


class Subscription:
    """The messages of some channels, or of those that match patterns, from the moment of entering
    on; `stop` ends a wait within `read_s`.

    Raises (on entering):
        StoreUnreachable: no answer, or this user may not subscribe.
    """

    def __init__(
        self,
        store: Store,
        *channels: str,
        patterns: Sequence[str] = (),
        stop: threading.Event | None = None,
        read_s: float = READ_EVERY_S,
    ) -> None:
        self._store = store
        self._read_s = read_s
        self._channels, self._patterns = channels, patterns
        self._stop = stop or threading.Event()

    def __enter__(self) -> Subscription:
        with self._store.errors():
            self._pubsub = self._store.client.pubsub()
            try:
                if self._channels:
                    self._pubsub.subscribe(*self._channels)
                if self._patterns:
                    self._pubsub.psubscribe(*self._patterns)
                self._confirm(len(self._channels) + len(self._patterns))
            except BaseException:
                self._pubsub.close()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pubsub.close()

    @property
    def stopped(self) -> bool:
        """Whether the waiting was stopped."""
        return self._stop.is_set()

    def wait(self, timeout_s: float) -> list[str]:
        """The messages so far, as soon as there is one; none when the time is over or the waiting
        was stopped.
        """
        return [text for _, text in self.receive(timeout_s)]

    def receive(self, timeout_s: float) -> list[tuple[str, str]]:
        """The same, each message behind its channel."""
        end, heard = time.monotonic() + timeout_s, list[tuple[str, str]]()
        with self._store.errors():
            while (left_s := end - time.monotonic()) > 0 and not heard and not self.stopped:
                heard += self._read(min(left_s, self._read_s))
            while heard and (more := self._read(0)):
                heard += more
        return heard

    def _read(self, timeout_s: float) -> list[tuple[str, str]]:
        message = self._pubsub.get_message(timeout=timeout_s)
        said = message is not None and message["type"] in ("message", "pmessage")
        return [(str(message["channel"]), str(message["data"]))] if said else []

    def _confirm(self, count: int) -> None:
        end = time.monotonic() + COMMAND_TIMEOUT_S
        while count:
            message = self._pubsub.get_message(timeout=READ_EVERY_S)
            count -= message is not None and message["type"] in ("subscribe", "psubscribe")
            if count and time.monotonic() > end:
                raise StoreUnreachable(
                    f"{describe(self._store.client)} does not confirm a subscription: is it "
                    "overloaded?"
                )


def wait_until(
    subscription: Subscription,
    attempt: Callable[[Sequence[str]], T | None],
    wait_s: float,
    *,
    look_s: Callable[[], float] = lambda: LOOK_EVERY_S,
) -> T | None:
    """What `attempt` returns as soon as that is not None: called at once, at each message and every
    few seconds.

    Args:
        subscription: not entered yet.
        attempt: is given the messages since the last call.
        wait_s: for how long; 0 calls once. At its end None is returned.
        look_s: how soon to call again without a message.
    """
    end = time.monotonic() + wait_s
    if wait_s <= 0:
        return attempt(())
    with subscription:
        heard: Sequence[str] = ()
        while True:
            found = attempt(heard)
            left_s = end - time.monotonic()
            if found is not None or left_s <= 0 or subscription.stopped:
                return found
            heard = subscription.wait(min(left_s, look_s()))
