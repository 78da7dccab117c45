"""The daemon from a client's side.

`start` returns when a daemon answers that is not older than this code, and never starts a second
one; `status` returns None where there is none; `stop` returns when it is gone.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from octet.base import dirs
from octet.base.errors import OctetError
from octet.base.polling import poll_until
from octet.daemon import supervisor
from octet.daemon.process import commands
from octet.daemon.process.build import PACKAGE, read_build
from octet.daemon.process.status import Status, recorded_processes
from octet.daemon.protocol import wire
from octet.daemon.protocol.wire import MalformedMessage, Request
from octet.runtime import bootstrap, detach

START_WITHIN_S = 15.0
STOP_WITHIN_S = 15.0
SERVE_WITHIN_S = 2.0
POLL_S = 0.01


class DaemonFailed(OctetError):
    """The daemon cannot be started, or does not obey; the message names its log."""


def status(timeout_s: float = 2.0) -> Status | None:
    """The running daemon's status; None when there is none.

    Raises:
        DaemonFailed: a daemon runs and does not answer.
    """
    try:
        return Status.parse(_ask("status", timeout_s))
    except (TimeoutError, MalformedMessage) as error:
        raise DaemonFailed(_silent()) from error
    except OSError:
        return None


def start(*, worker: Sequence[str] | None = None, within_s: float = START_WITHIN_S) -> Status:
    """Start the daemon unless it runs, or replace an older version. Returns when it answers.

    `worker` is the command of its working process, by default this code's. Any number of processes
    may call this at once: the one that gets the lock starts the daemon, the others wait for its
    socket.

    Raises:
        DaemonFailed: it does not come up.
        UsageError: the state directory cannot be used.
    """
    state = dirs.make_private(dirs.state_dir())
    if worker is None:
        _record_interpreter()
    command = list(worker or commands.worker_command())
    own = read_build()
    end = time.monotonic() + within_s
    launched = False
    older: Status | None = None
    while (left_s := end - time.monotonic()) > 0:
        try:
            running = Status.parse(_ask("status", left_s))
            if not (own and own.is_newer_than(running.build)):
                return running
            if older is None:
                _replace(command)
            elif older.pid != running.pid:
                raise DaemonFailed(
                    f"version {own.version} does not take over from {running.version}: see "
                    "`octet daemon logs`"
                )
            older = running
        except (OSError, MalformedMessage):
            launched = _launch_if_free(state, command, launched)
        time.sleep(POLL_S)
    raise DaemonFailed(_silent() if _is_locked(state) else _reason(state))


def _launch_if_free(state: Path, command: Sequence[str], launched: bool) -> bool:
    """Start a supervisor unless one has the lock; returns whether we have ever started one. A
    supervisor gives up the lock only when no worker comes up.
    """
    with _try_lock(state) as lock:
        if lock is None:
            return launched
        if launched:
            raise DaemonFailed(_reason(state))
        detach.launch(commands.supervisor_command(state, lock, -1, command), (lock,))
        return True


def serve(root: Path, url: str) -> None:
    """Have a daemon serve a project (heartbeats, sweep, flushes of the embedded server): the
    running one, or a new one. The running one checks whether this code is newer than its own.

    `url` is the store's, where the caller's environment or command line names it; "" for the
    repository's own.

    Raises:
        DaemonFailed: none answers.
    """
    plugin = PACKAGE.parents[1]
    request = Request(event=wire.SERVE, root=str(root), redis_url=url, plugin=str(plugin))
    try:
        if wire.call(socket_path(), request, SERVE_WITHIN_S) == wire.Reply():
            start()  # 0.1.0's: it does not say which build it is, and does not look at ours
    except TimeoutError:
        raise DaemonFailed(_silent()) from None
    except (OSError, MalformedMessage):
        start()
        try:
            wire.call(socket_path(), request, SERVE_WITHIN_S)
        except (OSError, MalformedMessage) as error:
            raise DaemonFailed(_silent()) from error


def stop(*, within_s: float = STOP_WITHIN_S) -> bool:
    """End the daemon and wait until it is gone; False when there was none. A daemon that does not
    answer is killed.

    Raises:
        DaemonFailed: it is still there.
    """
    state = dirs.state_dir()
    if not _is_locked(state):
        return False
    with suppress(OSError, MalformedMessage):  # it hangs, or is just ending
        _ask("stop", 2.0)
    if not poll_until(lambda: not _is_locked(state), within_s / 2):
        _kill(state)
    if not poll_until(lambda: not _is_locked(state), within_s / 2):
        raise DaemonFailed(f"the daemon does not end: see {state}/daemon.json for its processes")
    return True


def socket_path() -> str:
    """Where the daemon listens, as a path that is short enough to connect to."""
    return dirs.short_path(dirs.state_dir() / supervisor.SOCKET)


def _replace(command: Sequence[str]) -> None:
    """Ask the older daemon to hand lock and socket to our supervisor; hooks wait in the socket's
    backlog meanwhile.

    First our worker must show that it can be run: a broken update must not end a daemon that keeps
    agents alive.
    """
    check = subprocess.run(
        [*command, commands.CHECK],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if check.returncode:
        said = check.stderr.strip().splitlines()[-1:] or [f"exit status {check.returncode}"]
        raise DaemonFailed(
            f"this version's daemon does not start ({said[0][:200]}); the older one goes on"
        )
    prefix = commands.supervisor_command(Path(), -1, -1, ())
    successor = {
        "supervisor": prefix[: prefix.index(commands.CONTRACT) + 1],
        "worker": list(command),
    }
    with suppress(OSError, MalformedMessage):  # another process has just replaced it
        _ask("replace", 2.0, json.dumps(successor).encode())


def _ask(verb: str, timeout_s: float, payload: bytes = b"") -> dict[str, Any]:
    reply = wire.call(socket_path(), Request(f"control.{verb}", payload=payload), timeout_s)
    try:
        answer = json.loads(reply.stdout)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise MalformedMessage(f"the daemon does not know {verb}")
    return answer


@contextmanager
def _try_lock(state: Path) -> Iterator[int | None]:
    """The daemon's lock as a descriptor, None when it is held. `flock`, not `filelock`, because it
    passes to our children: supervisor and worker hold the same open file, and closing ours leaves
    it locked.
    """
    path = state / supervisor.LOCK
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DaemonFailed(
            f"cannot use {path} ({error.strerror}): free it or set OCTET_HOME"
        ) from error
    try:
        yield fd if _lock(fd) else None
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(state: Path) -> bool:
    if not (state / supervisor.LOCK).exists():
        return False
    with _try_lock(state) as lock:
        return lock is None


def _kill(state: Path) -> None:
    """The supervisor first: it would restart the worker."""
    for process in recorded_processes(state):
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(process.pid, signal.SIGKILL)


def _record_interpreter() -> None:
    with suppress(OSError, OctetError):  # hooks then look for a Python themselves
        bootstrap.record_interpreter()


def _reason(state: Path) -> str:
    """Why it does not come up: the last line that its worker printed."""
    try:
        lines = (state / "daemon.err").read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    said = f" ({lines[-1][:200]})" if lines else ""
    return f"the daemon does not start{said}: see `octet daemon logs`"


def _silent() -> str:
    return "the daemon runs and does not answer: `octet daemon stop` ends it"
