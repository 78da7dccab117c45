"""Waiting for what no event announces: polled up to a deadline. Tests wait by this alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

DEADLINE_S = 30.0
INTERVAL_S = 0.01
Found = TypeVar("Found")


def poll(ask: Callable[[], Found], what: str, deadline_s: float = DEADLINE_S) -> Found:
    """Return the first true answer of `ask`.

    Raises:
        AssertionError: none within the deadline; says `what` was awaited.
    """
    end_s = time.monotonic() + deadline_s
    while not (found := ask()):
        if time.monotonic() > end_s:
            raise AssertionError(f"{what}: not within {deadline_s:g} s, last {found!r}")
        time.sleep(INTERVAL_S)
    return found
