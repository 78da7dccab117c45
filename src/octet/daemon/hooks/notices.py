"""Lines for the person at the terminal, each at most once a minute: repeated at every prompt, the
same trouble would be noise.
"""

from __future__ import annotations

import time

REPEAT_AFTER_S = 60.0
MAX_KEPT = 1000


class Notices:
    """Remembers what each session was told lately."""

    def __init__(self) -> None:
        self._told_at: dict[tuple[int, str], float] = {}

    def once(self, pid: int, text: str) -> str:
        """The text; "" when the session of that process was told the same a moment ago."""
        if not text:
            return ""
        now = time.monotonic()
        if now < self._told_at.get((pid, text), -REPEAT_AFTER_S) + REPEAT_AFTER_S:
            return ""
        if len(self._told_at) > MAX_KEPT:
            self._told_at.clear()
        self._told_at[(pid, text)] = now
        return text
