"""Keeps one worker of the daemon running. A script for a bare interpreter (`python -I -S`), so that
it stays below 10 MB.

    supervisor.py 1 STATE LOCK LISTENER WORKER_PID BEAT LIFE COMMAND…

It owns what must outlive a worker: the lock (while the supervisor or a worker lives there is no
second daemon) and the listening socket (while a worker is replaced, hooks wait in its backlog, and
none is refused).

    beat   worker → supervisor: a dot every two seconds; silence means that the worker hangs, end of
           stream that it is gone; its last words say whether on purpose
    life   supervisor → worker: nothing; end of stream means that the supervisor was killed, and the
           worker starts another, which adopts it (WORKER_PID, BEAT and LIFE are then given; -1
           otherwise, and LISTENER is -1 where there is none yet)

So killing either one costs no agent a lease. Killing both ends the daemon; the next hook starts it.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import posix
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

SOCKET = "daemon.sock"
LOCK = "daemon.lock"
BACKLOG = 1024
# The worker beats every 2 s. A lease is 30 s and renewed every 10: a hung worker must be replaced
# before a lease runs out.
FIRST_BEAT_MS = 60_000
SILENCE_MS = 8_000
GRACE_MS = 2_000
STEADY_S = 30.0
MAX_DELAY_S = 10.0
MAX_FAILED_STARTS = 3

# A worker's last words; `EXEC` is followed by the arguments of the supervisor to become, each after
# a NUL.
QUIT = b"quit"
REBIND = b"rebind"
EXEC = b"exec"


class Worker:
    """One worker process and the two pipes to it."""

    def __init__(self, pid: int, beat: int, life: int) -> None:
        self.pid = pid
        self.beat = beat
        self.life = life
        self.ready = False
        self.started = time.monotonic()

    def watch(self) -> bytes:
        """Wait for its end, and return its last words. A worker that hangs is killed."""
        poll = select.poll()
        poll.register(self.beat, select.POLLIN)
        words = b""
        patience = FIRST_BEAT_MS
        while True:
            if not poll.poll(patience):
                # A frozen machine looks the same as a hung worker: wait once more before the kill.
                if patience == GRACE_MS:
                    posix.kill(self.pid, _signal.SIGKILL)
                patience = GRACE_MS
                continue
            patience = SILENCE_MS
            data = posix.read(self.beat, 4096)
            if not data:
                return words
            self.ready = True
            words += data.lstrip(b".")

    def forget(self) -> None:
        posix.close(self.beat)
        posix.close(self.life)


class Supervisor:
    """The loop around workers."""

    def __init__(self, state: str, lock: int, listener: int, command: list[str]) -> None:
        self.state = state
        self.lock = lock
        self.listener = listener
        self.command = command
        self.worker: Worker | None = None
        self.stopping = False
        self.waiting = False
        self.quick_ends = 0
        self.failed_starts = 0

    def run(self) -> None:
        """Return when a worker has ended on purpose, or when none can be started."""
        while True:
            worker = self.worker = self.worker or self.start_worker()
            if self.stopping:
                self.pass_on_stop()
            words = worker.watch()
            self.worker = None
            worker.forget()
            if words.startswith(EXEC):
                self.become(words.split(b"\0")[1:])
            if words == QUIT or self.stopping or not self.owns_state():
                return
            if words == REBIND:
                posix.close(self.listener)
                self.listener = bind()
            elif not self.wait_before_restart(worker):
                return

    def wait_before_restart(self, worker: Worker) -> bool:
        """Back off from a worker that keeps dying; False where none comes up at all."""
        self.failed_starts = 0 if worker.ready else self.failed_starts + 1
        self.quick_ends = 0 if time.monotonic() - worker.started > STEADY_S else self.quick_ends + 1
        if self.failed_starts == MAX_FAILED_STARTS:
            return False
        self.waiting = True
        if self.quick_ends and not self.stopping:
            time.sleep(min(0.05 * 4 ** (self.quick_ends - 1), MAX_DELAY_S))
        self.waiting = False
        return not self.stopping

    def start_worker(self) -> Worker:
        beat, worker_beat = posix.pipe()
        worker_life, life = posix.pipe()
        pid = posix.fork()
        if pid == 0:
            self.become_worker(worker_beat, worker_life)
        posix.close(worker_beat)
        posix.close(worker_life)
        return Worker(pid, beat, life)

    def become_worker(self, beat: int, life: int) -> "NoReturn":
        """In the child. A broken installation's output goes to `daemon.err`, the last start's."""
        try:
            _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            for fd in (self.lock, self.listener, beat, life):
                posix.set_inheritable(fd, True)
            redirect_errors()
            numbers = [
                str(number) for number in (self.lock, self.listener, beat, life, posix.getppid())
            ]
            posix.execv(self.command[0], [*self.command, self.state, *numbers])
        finally:
            posix._exit(127)

    def owns_state(self) -> bool:
        """Whether the state directory still has our lock: it may be removed, or made again."""
        try:
            there, here = posix.stat(LOCK), posix.fstat(self.lock)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def become(self, arguments: list[bytes]) -> None:
        """Turn into a newer version's supervisor, which inherits lock and socket; return where it
        cannot be run.
        """
        for fd in (self.lock, self.listener):
            posix.set_inheritable(fd, True)
        try:
            posix.execv(arguments[0], arguments)
        except OSError:
            return  # the next worker is one of our own version again

    def stop(self, _signal_number: int, _frame: object) -> None:
        """SIGTERM: the worker ends first, then we."""
        self.stopping = True
        if self.waiting:
            raise SystemExit
        self.pass_on_stop()

    def pass_on_stop(self) -> None:
        try:
            if self.worker:
                posix.kill(self.worker.pid, _signal.SIGTERM)
        except ProcessLookupError:
            pass  # it has just ended by itself


def redirect_errors() -> None:
    try:
        posix.dup2(
            posix.open("daemon.err", posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC, 0o600), 2
        )
    except OSError:
        pass  # a full disk: the daemon does without


def bind() -> int:
    """Listen on a new socket in the working directory; only the lock's holder may take the name."""
    unlink_socket()
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    listener.bind(SOCKET)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener.detach()


def unlink_socket() -> None:
    try:
        posix.unlink(SOCKET)
    except FileNotFoundError:
        pass  # the first start, or it was removed


def main(argv: list[str]) -> None:
    """See the module's docstring."""
    state = argv[1]
    lock, listener, pid, beat, life = map(int, argv[2:7])
    posix.chdir(state)
    posix.umask(0o077)
    for fd in {lock, listener, beat, life} - {-1}:
        posix.set_inheritable(fd, False)
    supervisor = Supervisor(state, lock, bind() if listener < 0 else listener, argv[7:])
    if pid > 0:
        supervisor.worker = Worker(pid, beat, life)
    for number in (_signal.SIGTERM, _signal.SIGINT):
        _signal.signal(number, supervisor.stop)
    # The kernel collects ended children, also workers of an earlier version.
    for number in (_signal.SIGHUP, _signal.SIGCHLD):
        _signal.signal(number, _signal.SIG_IGN)
    try:
        supervisor.run()
    finally:
        if supervisor.owns_state():
            unlink_socket()


if __name__ == "__main__":
    if sys.argv[1] != "1":
        sys.exit(f"supervisor: unknown contract {sys.argv[1]}")
    main(sys.argv[1:])
