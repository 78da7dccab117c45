"""The daemon's working process: joins service, heartbeat and server, and decides when to end.

The supervisor runs this file as a script, with STATE LOCK LISTENER BEAT LIFE SUPERVISOR after it;
see `supervisor`.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import NoReturn, Protocol

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from octet.daemon import supervisor
from octet.daemon.hooks.failure import failure_reply
from octet.daemon.process import commands, log
from octet.daemon.process.build import Build, read_build
from octet.daemon.process.server import Handler, Server
from octet.daemon.process.status import RECORD, Status, write_record
from octet.daemon.process.upgrade import Upgrading
from octet.daemon.protocol.wire import Reply, Request
from octet.runtime import detach
from octet.runtime.venv import hold

BEAT_S = 2.0
IDLE_S = 60.0
DRAIN_S = 8.0
SUPERVISOR_RETRY_S = 1.0

_log = logging.getLogger("octet.daemon.worker")  # by name: we run as `__main__`


class Liveness(Protocol):
    """Keeps this machine's agents alive, as `octet.daemon.liveness.heartbeat.Heartbeat` does."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def live_agents(self) -> int: ...

    def close_stores(self) -> None: ...


@dataclass(frozen=True)
class Inherited:
    """What the supervisor hands down; numbers are descriptors, but for its pid."""

    command: tuple[str, ...]  # that it ran
    state: Path  # the state directory
    lock: int
    listener: int
    beat: int  # the pipe to it
    life: int  # the pipe that ends with it
    supervisor: int  # its pid

    @classmethod
    def parse(cls, arguments: list[str]) -> Inherited:
        """From a whole command line, of which it is the last six arguments. Our own children do not
        inherit the descriptors.
        """
        state, *numbers = arguments[-6:]
        inherited = cls(tuple(arguments[:-6]), Path(state), *map(int, numbers))
        for fd in (inherited.lock, inherited.listener, inherited.beat, inherited.life):
            os.set_inheritable(fd, False)
        os.set_blocking(inherited.beat, False)  # a supervisor that was stopped must not stop us
        return inherited


class Worker:
    """One worker's life."""

    def __init__(
        self, inherited: Inherited, handler: Handler, liveness: Liveness, *, idle_s: float = IDLE_S
    ) -> None:
        self._inherited = inherited
        self._beat = inherited.beat
        self._life = inherited.life
        self._supervisor = inherited.supervisor
        self._supervise_again_at = 0.0
        self._liveness = liveness
        self._idle_s = idle_s
        self._build = read_build() or Build("unknown", "", 0)
        self._started = time.time()
        self._last_words = b""
        self._idle = False
        self._wake_read, self._wake_write = os.pipe()
        self._listener = socket.socket(fileno=inherited.listener)
        self._socket_id = _identity(inherited.state / supervisor.SOCKET)
        self._server = Server(
            self._listener, Upgrading(handler, self._build), self._control, failure_reply
        )

    def run(self) -> None:
        """Serve until told to end, replaced, idle, or out of reach."""
        signal.signal(signal.SIGTERM, lambda *_: self.end(supervisor.QUIT))
        signal.signal(signal.SIGINT, lambda *_: self.end(supervisor.QUIT))
        self._liveness.start()
        self._write_record()
        _log.info("daemon %s serves as pid %d", self._build.version, os.getpid())
        self._tell_supervisor(b".")  # we are up: from here on silence means that we hang
        self._server.start()
        while not self._last_words:
            self._tick()
        self._finish()

    def end(self, words: bytes) -> None:
        """Begin to end; `words` tell the supervisor what to do then."""
        self._last_words = self._last_words or words
        os.write(self._wake_write, b".")

    def _tick(self) -> None:
        self._tell_supervisor(b".")
        idle_left_s = self._idle_left_s()
        if idle_left_s <= 0:
            self._idle = True
            _log.info("no live agent and no hook for %g s", self._idle_s)
            self.end(supervisor.QUIT)
        elif words := self._out_of_reach():
            self.end(words)
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        if time.monotonic() >= self._supervise_again_at:
            poll.register(self._life, select.POLLIN)
        events = poll.poll(min(BEAT_S, max(idle_left_s, 0.05)) * 1000)
        if any(fd == self._life for fd, _ in events):
            self._replace_supervisor()

    def _tell_supervisor(self, words: bytes) -> None:
        try:
            os.write(self._beat, words)
        except OSError:
            pass  # it was killed, which `life` says too, or stopped

    def _idle_left_s(self) -> float:
        if self._liveness.live_agents() > 0 or self._server.in_flight:
            return self._idle_s
        return self._server.last_request + self._idle_s - time.monotonic()

    def _out_of_reach(self) -> bytes:
        """The state directory or the socket was removed: no hook can find us any more."""
        if _identity(self._inherited.state / supervisor.SOCKET) == self._socket_id:
            return b""
        lock = os.fstat(self._inherited.lock)
        if _identity(self._inherited.state / supervisor.LOCK) == (lock.st_dev, lock.st_ino):
            _log.warning("the socket was removed: binding it again")
            return supervisor.REBIND
        return supervisor.QUIT

    def _replace_supervisor(self) -> None:
        """The supervisor was killed: start another that adopts us, with our lock and socket."""
        _log.warning("the supervisor was killed: starting another")
        self._supervise_again_at = time.monotonic() + SUPERVISOR_RETRY_S
        beat_read, beat = os.pipe()
        life, life_write = os.pipe()
        lock, listener = self._inherited.lock, self._inherited.listener
        adopt = (os.getpid(), beat_read, life_write)
        command = commands.supervisor_command(
            self._inherited.state, lock, listener, self._inherited.command, adopt=adopt
        )
        try:
            self._supervisor = detach.launch(command, (lock, listener, beat_read, life_write))
        except OSError as error:
            _log.error("cannot start a supervisor: %s", error)
        for fd in (self._beat, self._life, beat_read, life_write):
            os.close(fd)
        os.set_blocking(beat, False)
        self._beat, self._life = beat, life
        self._write_record()

    def _finish(self) -> None:
        for_good = self._last_words == supervisor.QUIT
        if for_good:
            # The socket first: a hook that comes now starts another daemon and does not wait for
            # us.
            self._remove_files()
        self._server.stop_accepting(leave_backlog=not for_good)
        self._liveness.stop()
        self._tell_supervisor(self._last_words)
        if not for_good:
            os.close(self._beat)  # the successor starts while we answer what we have taken
        drained = self._server.drain(DRAIN_S)
        if self._idle:
            self._liveness.close_stores()
        _log.info("daemon ends, %s", "all answered" if drained else "requests left unanswered")

    def _remove_files(self) -> None:
        names = (
            [RECORD, supervisor.SOCKET]
            if _identity(self._inherited.state / supervisor.SOCKET) == self._socket_id
            else []
        )
        for name in names:
            (self._inherited.state / name).unlink(missing_ok=True)

    def _control(self, request: Request) -> Reply:
        match request.event.removeprefix("control."):
            case "ping":
                return Reply(0, b"{}\n")
            case "status":
                return Reply(0, json.dumps(asdict(self._status())).encode())
            case "stop":
                self.end(supervisor.QUIT)
                return Reply(0, b"{}\n")
            case "replace":
                return self._begin_replacement(json.loads(request.payload))
            case verb:
                return Reply(2, b"", f"the daemon knows no {verb!r}\n".encode())

    def _begin_replacement(self, successor: dict[str, list[str]]) -> Reply:
        """`supervisor` and `worker` are the newer version's commands; the descriptors' numbers go
        between them.
        """
        numbers = [
            str(self._inherited.state),
            str(self._inherited.lock),
            str(self._inherited.listener),
            "-1",
            "-1",
            "-1",
        ]
        arguments = [*successor["supervisor"], *numbers, *successor["worker"]]
        self.end(b"\0".join([supervisor.EXEC, *map(os.fsencode, arguments)]))
        return Reply(0, b"{}\n")

    def _status(self) -> Status:
        return Status(
            pid=os.getpid(),
            supervisor=self._supervisor,
            version=self._build.version,
            fingerprint=self._build.fingerprint,
            modified_ns=self._build.modified_ns,
            started=self._started,
            uptime_s=time.time() - self._started,
            agents=self._liveness.live_agents(),
            requests=self._server.requests,
            in_flight=max(0, self._server.in_flight - 1),  # without this request
            memory_kb=_memory_kb(),
        )

    def _write_record(self) -> None:
        write_record(self._inherited.state, self._status())


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _memory_kb() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        import resource

        # macOS: bytes, and the peak so far.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def run_worker(assemble: Callable[[], tuple[Handler, Liveness]]) -> NoReturn:
    """Be a worker process; `assemble` makes what it serves. With `CHECK` as the last argument of
    its command line it only shows that it can.
    """
    if sys.argv[-1] == commands.CHECK:
        assemble()
        os._exit(0)
    inherited = Inherited.parse(sys.orig_argv)
    logger = log.configure(inherited.state, level=os.environ.get("OCTET_LOG", "INFO").upper())
    status = 1
    try:
        handler, liveness = assemble()
        idle_s = float(os.environ.get("OCTET_DAEMON_IDLE_S") or IDLE_S)
        Worker(inherited, handler, liveness, idle_s=idle_s).run()
        status = 0
    except Exception as error:  # the process's edge
        logger.exception("the worker failed")
        # `octet daemon start` shows this line.
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    logging.shutdown()
    os._exit(status)  # a thread that hangs in a request cannot hold us


def assemble() -> tuple[Handler, Liveness]:
    """The real service and heartbeat, with all that they will ever read of the package: an update
    in place takes its files away.
    """
    from octet.daemon.hooks.service import HookService
    from octet.daemon.liveness.heartbeat import Heartbeat
    from octet.daemon.projects.sessions import Projects
    from octet.daemon.turns.parking import release_untouched
    from octet.store.script_files import load_script, script_names

    import_module("octet.fence.failsafe")  # and the guard's, for `failure_reply`
    for name in script_names():
        load_script(name)
    projects = Projects()
    heartbeat = Heartbeat(projects)
    service = HookService(projects, heartbeat)
    service.context.token_accounting.start()
    save = heartbeat.rescuer.save
    heartbeat.after_beat.append(lambda octet, living: release_untouched(octet, living, save))
    heartbeat.at_stop.append(service.context.token_accounting.stop)
    return service, heartbeat


if __name__ == "__main__":
    if sys.prefix != sys.base_prefix:
        hold(sys.prefix)  # else the environment could be removed as unused
    run_worker(assemble)
