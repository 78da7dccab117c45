"""Renews a lease in a thread while a block runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from octet.base.errors import OctetError, StaleToken


@contextmanager
def renewing(renew: Callable[[], object], lease_s: float, name: str) -> Iterator[None]:
    """Call `renew` four times a lease, until the block ends or the lease is lost, which the call
    that settles the item then reports.
    """
    ended = threading.Event()

    def renew_repeatedly() -> None:
        while not ended.wait(lease_s / 4):
            try:
                renew()
            except StaleToken:
                return
            except OctetError:
                continue  # three more tries before the lease runs out

    thread = threading.Thread(target=renew_repeatedly, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
