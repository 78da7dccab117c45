"""Waiting by looking again and again, where there is no event to wait for."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_S = 0.02


def poll_until(holds: Callable[[], bool], within_s: float, every_s: float = POLL_S) -> bool:
    """Look until the condition holds; false when the time runs out first."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True
