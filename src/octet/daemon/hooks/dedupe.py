"""Answers an event once where plugin and drop-in are both on: the client then runs both hooks.

Both send the same bytes. The second one, from the other source, gets an empty answer; the client
merges the two, so that a denial by the first stands.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict

from octet.daemon.protocol.wire import Request

KEPT_S = 30.0
MAX_KEPT = 4096


class HookDedupe:
    """Remembers for half a minute the events that the other source may still send."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._lock = threading.Lock()

    def is_duplicate(self, request: Request) -> bool:
        """Whether the other source has sent this event already, for the same project. Two alike
        from one source are two events.
        """
        sender = f"{request.pid}\0{request.root}\0{request.redis_url}\0"
        digest = hashlib.blake2b(os.fsencode(sender), digest_size=16)
        digest.update(request.payload)
        key = digest.digest()
        now = time.monotonic()
        with self._lock:
            first = self._seen.pop(key, None)
            if first and first[0] != request.source and now - first[1] < KEPT_S:
                return True
            self._seen[key] = (request.source, now)
            if len(self._seen) > MAX_KEPT:
                self._seen.popitem(last=False)
        return False
