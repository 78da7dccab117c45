"""Brings the faults of the plan about, and notes each in the history; what has to be undone later
is returned.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.chaos.torture.plan import Fault
from tests.support.fault_proxy import Fault as Wire

from octet.base.dirs import state_dir
from octet.daemon.process.status import recorded_processes
from octet.store import embedded

if TYPE_CHECKING:
    from tests.chaos.torture.conductor import Conductor

Undo = Callable[[], None]
SLOW_S = 0.03


class Faults:
    """The faults of one run."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    def begin(self, fault: Fault) -> Undo | None:
        """Bring it about; where it lasts, how to end it. One whose victim is not there just now
        does not come about.
        """
        proxy = self._conductor.proxy
        match fault.kind:
            case "kill worker":
                self._conductor.kill_worker(fault.number)
            case "stop worker":
                return self._stop(fault, self._conductor.pids[fault.number])
            case "kill daemon" | "kill daemon and supervisor":
                return self._kill_daemon(fault)
            case "stop daemon":
                return self._stop(fault, *daemon_pids()[-1:])
            case "kill redis":
                self._kill(fault, server_pid())
                return None
            case "stop redis":
                return self._stop(fault, server_pid())
            case "cut wires":
                proxy.cut()
            case "swallow":
                proxy.begin(Wire.DROP_REQUESTS if fault.number % 2 else Wire.DROP_ANSWERS)
                self._note(fault)
                return proxy.mend
            case "slow wires":
                proxy.slow(SLOW_S)
                self._note(fault)
                return lambda: proxy.slow(0)
        self._note(fault)
        return None

    def _note(self, fault: Fault) -> None:
        with self._conductor.recorder.operation(
            "fault", kind=fault.kind, number=fault.number, lasts_s=fault.lasts_s
        ):
            pass

    def _kill(self, fault: Fault, pid: int) -> None:
        if pid and send(pid, signal.SIGKILL):
            self._note(fault)

    def _stop(self, fault: Fault, pid: int = 0) -> Undo | None:
        if not pid or not send(pid, signal.SIGSTOP):
            return None
        self._note(fault)

        def go_on() -> None:
            send(pid, signal.SIGCONT)

        return go_on

    def _kill_daemon(self, fault: Fault) -> Undo | None:
        pids = daemon_pids()
        killed = [
            send(pid, signal.SIGKILL) for pid in (pids if "supervisor" in fault.kind else pids[-1:])
        ]
        if any(killed):
            self._note(fault)
        return self._conductor.serve  # as the next hook does


def send(pid: int, number: signal.Signals) -> bool:
    """Whether there was such a process."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def daemon_pids() -> list[int]:
    """The supervisor and its worker, as far as they run."""
    return [process.pid for process in recorded_processes(state_dir())]


def server_pid() -> int:
    """The embedded server's process; 0 when it does not run."""
    try:
        pid = int((embedded.server_directory() / "redis.pid").read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return 0
    return pid
