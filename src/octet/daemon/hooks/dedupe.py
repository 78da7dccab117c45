"""One event, two messengers: where plugin and drop-in are both on, the client runs both hooks for
the same event.

They hand over the same bytes. Whoever comes second, from the other source, is answered with
silence; the client merges the two answers, so that a denial by the first stands.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict

KEPT_S = 30.0
MOST_KEPT = 4096


class HookDedupe:
    """Remembers, for half a minute, events that the other source may still hand over."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._lock = threading.Lock()

    def is_duplicate(self, source: str, pid: int, payload: bytes) -> bool:
        """Whether the other source has handed this event over already. Two alike from one source
        are two events.
        """
        key = hashlib.blake2b(payload, key=str(pid).encode(), digest_size=16).digest()
        now = time.monotonic()
        with self._lock:
            first = self._seen.pop(key, None)
            if first and first[0] != source and now - first[1] < KEPT_S:
                return True
            self._seen[key] = (source, now)
            if len(self._seen) > MOST_KEPT:
                self._seen.popitem(last=False)
        return False
