"""Learns of a process's end at once, by one poll over pid file descriptors; where there are none,
by a check every half second.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable

from octet.base.process import ProcessIdentity, is_alive

log = logging.getLogger(__name__)

CHECK_EVERY_S = 0.5
# With descriptors, for certainty only.
CHECK_ALL_EVERY_S = 60.0


class ProcessWatcher:
    """Calls `ended(process)` once for each watched process, in a thread of its own."""

    def __init__(self, ended: Callable[[ProcessIdentity], None]) -> None:
        self._ended = ended
        self._watched: dict[ProcessIdentity, int] = {}
        self._lock = threading.Lock()
        self._poll = select.poll()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._poll.register(self._wake_read, select.POLLIN)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="process-watcher", daemon=True)
        self._thread.start()

    def watch(self, process: ProcessIdentity) -> None:
        """Watch a process of this machine; one that has ended already is reported at once."""
        with self._lock:
            if process in self._watched:
                return
            self._watched[process] = descriptor = _open_pid(process.pid)
            if descriptor >= 0:
                self._poll.register(descriptor, select.POLLIN)
        self._wake()

    def stop(self) -> None:
        """End the thread; no report follows."""
        self._stopping = True
        self._wake()
        self._thread.join(timeout=2)

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b"x")
        except BlockingIOError:
            pass  # the pipe is full: the thread is about to wake anyway

    def _run(self) -> None:
        while not self._stopping:
            without = any(descriptor < 0 for descriptor in self._watched.copy().values())
            timeout_s = CHECK_EVERY_S if without else CHECK_ALL_EVERY_S
            for descriptor, _ in self._poll.poll(timeout_s * 1000):
                if descriptor == self._wake_read:
                    os.read(self._wake_read, 4096)
            # All are checked: a pid may have been reused between its look-up and pidfd_open.
            for process in [p for p in self._watched.copy() if not is_alive(p)]:
                self._forget(process)
                if not self._stopping:
                    self._report(process)

    def _forget(self, process: ProcessIdentity) -> None:
        with self._lock:
            descriptor = self._watched.pop(process, -1)
            if descriptor >= 0:
                self._poll.unregister(descriptor)
                os.close(descriptor)

    def _report(self, process: ProcessIdentity) -> None:
        try:
            self._ended(process)
        except Exception:
            # The sweep, seconds later, expires the agents; the others must still be watched.
            log.exception("could not report the end of %s", process)


def _open_pid(pid: int) -> int:
    """A descriptor that becomes readable when the process ends; -1 where there is none."""
    if not hasattr(os, "pidfd_open"):
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1
