"""A lease renewed in a thread for as long as a block works on what it covers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from octet.base.errors import OctetError, StaleToken


@contextmanager
def renewing(renew: Callable[[], object], lease_s: float, name: str) -> Iterator[None]:
    """Call `renew` four times a lease, until the block ends or the lease is somebody else's: what
    settles it then says so.
    """
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(lease_s / 4):
            try:
                renew()
            except StaleToken:
                return
            except OctetError:
                continue  # three more tries before the lease runs out

    thread = threading.Thread(target=go_on, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
