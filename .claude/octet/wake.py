"""Waits in the background for the daemon to wake an idle session; then ends with code 2 and the
reason on standard error.

`launch Wake SOURCE` runs `main()` as an `asyncRewake` hook at the beginning of a session and of
each turn: one process a session, alive as long as the session, so C modules only. The daemon
decides everything (`octet.daemon.turns.wakes`): a newer waiter of the same client replaces this
one, which then ends silently. Where there is nothing to wait for, it ends at once.
"""

import _socket
import posix
import select
import sys
from itertools import pairwise
from time import monotonic

from pipe import Alarm, Malformed, ask, connect, encode, header, read_all, receive, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pipe import Answer

SILENT = 0, b"", b""
EVENTS = (b"SessionStart", b"UserPromptSubmit", b"Notification")
FIRST_DELAY_S = 0.05
MAX_DELAY_S = 10.0
# For connecting, sending, and a reply that has begun.
TALK_WITHIN_S = 5.0
# A daemon that is being replaced or restarted is back sooner.
START_AFTER_S = 1.0
START_WITHIN_S = 15.0
# How often the client is looked at, where the system does not tell of its end.
LOOK_EVERY_S = 5.0
LINUX = sys.platform == "linux"


class ClientEnded(Exception):
    """There is no session left to wake."""


def main() -> "NoReturn":
    """Wait and end the process; a failure here is not worth a word to the session."""
    try:
        code, _, err = wait(*sys.argv[1:6])
        while err:
            err = err[posix.write(2, err) :]
    except BaseException:  # noqa: BLE001  the process's edge
        code = 0
    posix._exit(code)


def wait(hooks: str, _event: str, root: str, source: str, state: str) -> "Answer":
    """The daemon's answer: 2 and a line to wake the session, 0 when another waiter has taken over
    or there is nothing to wait for.
    """
    since = monotonic()
    raw = read_all(0).replace(b'": "', b'":"')
    client = Client(int(posix.environ.get(b"CLAUDE_PID", b"0")))
    if b'"agent_id":"' in raw or not client.can_be_woken():
        return SILENT
    event = next((name for name in EVENTS if b'"hook_event_name":"%b"' % name in raw), b"")
    del raw
    request = header("Wake", root, source) + b"\0".join(
        [b"%.6f" % since, event, client.status_file()]
    )
    try:
        return ask_until_answered(client, request, (hooks, root, source, state))
    except ClientEnded:
        return SILENT


def ask_until_answered(
    client: "Client", request: bytes, place: "tuple[str, str, str, str]"
) -> "Answer":
    """Ask for as long as the client lives: the daemon may be replaced, be killed, not be there."""
    delay, unheard_since = FIRST_DELAY_S, monotonic()
    while True:
        asked = monotonic()
        if link := connect_to(place[3]):
            reply = client.listen(link, request)
            link.close()
            if reply:
                return reply
            unheard_since = monotonic()
            if unheard_since - asked > MAX_DELAY_S:
                delay = FIRST_DELAY_S
        elif asked - unheard_since > START_AFTER_S and start_daemon(*place):
            continue
        client.watch(delay)
        delay = min(delay * 2, MAX_DELAY_S)


def connect_to(state: str) -> "_socket.socket | None":
    """A connection to the daemon; None where none listens."""
    try:
        posix.chdir(state)
        return connect(TALK_WITHIN_S)
    except OSError:
        return None


def start_daemon(hooks: str, root: str, source: str, state: str) -> bool:
    """Start the daemon as any hook does; whether one answers. Without it the leases of an idle
    session are not renewed.

    In a child, because what that imports would stay in memory for as long as the session is idle.
    """
    pid = posix.fork()
    if pid:
        return posix.waitpid(pid, 0)[1] == 0
    status = 1
    try:
        import cold

        def ping() -> "Answer":
            return ask(header("control.ping", root, source))

        end = monotonic() + START_WITHIN_S
        call = cold.Call(hooks, "control.ping", root, state, b"", end, ping, Alarm.set)
        cold.ask_started(call, START_WITHIN_S)
        status = 0
    finally:
        posix._exit(status)


class Client:
    """The Claude Code process that is waited for."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._parent = posix.getppid()
        self._poll = select.poll()
        self._watched: set[int] = set()
        if hasattr(posix, "pidfd_open"):
            try:
                self._watch_fd(posix.pidfd_open(pid), select.POLLIN)
            except OSError:
                pass  # an old kernel, or the client has just ended: `watch` looks
        self._asks = not self._watched

    def can_be_woken(self) -> bool:
        """Whether the client runs and takes what a background hook says.

        Plain `claude -p` waits for the hook instead of going on. With stream-json as its input it
        goes on, but waits half a minute for the hook when that input has ended: so it is waited for
        only where that end can be seen, which is on a pipe under Linux.
        """
        words = self._command_line()
        separate = (b"--input-format", b"stream-json")
        if b"--input-format=stream-json" in words or separate in pairwise(words):
            return self._sees_end_of_input()
        return bool(words) and not any(map(asks_to_print, words[1:])) and self._draws()

    def status_file(self) -> bytes:
        """The file in which the client says whether it is idle; not every version does."""
        directory = (
            posix.environ.get(b"CLAUDE_CONFIG_DIR") or posix.environ.get(b"HOME", b"") + b"/.claude"
        )
        return b"%b/sessions/%d.json" % (directory, self._pid)

    def listen(self, link: "_socket.socket", request: bytes) -> "Answer | None":
        """The daemon's answer, whenever it comes; None when it went away without one.

        Raises:
            ClientEnded: the client has ended, or its input.
        """
        try:
            send(link, request)
            self.watch(None, link.fileno())
            return receive(link)
        except (OSError, Malformed):
            return None

    def watch(self, timeout_s: "float | None", fd: int = -1) -> bool:
        """Wait until `fd` can be read, or the time is over; whether it can.

        Raises:
            ClientEnded: the client has ended, or its input.
        """
        end = monotonic() + timeout_s if timeout_s is not None else None
        if fd >= 0:
            self._poll.register(fd, select.POLLIN)
        try:
            while True:
                left_s = LOOK_EVERY_S if self._asks else 3600.0
                left_s = left_s if end is None else min(left_s, max(0.0, end - monotonic()))
                ready = [found for found, _ in self._poll.poll(left_s * 1000)]
                if self._watched.intersection(ready) or (
                    self._asks and posix.getppid() != self._parent
                ):
                    raise ClientEnded
                if ready or (end is not None and monotonic() >= end):
                    return bool(ready)
        finally:
            if fd >= 0:
                self._poll.unregister(fd)

    def _watch_fd(self, fd: int, events: int) -> None:
        self._poll.register(fd, events)
        self._watched.add(fd)

    def _command_line(self) -> "list[bytes]":
        if LINUX:
            return read_file(f"/proc/{self._pid}/cmdline").split(b"\0")[:-1]
        return run("/bin/ps", "-o", "command=", "-p", str(self._pid)).split()

    def _sees_end_of_input(self) -> bool:
        try:
            fd = posix.open(
                f"/proc/{self._pid}/fd/0", posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC
            )
        except OSError:
            return False  # a socket cannot be opened by its name, and other systems have no /proc
        self._watch_fd(fd, 0)  # no events: poll tells of the last writer's end all the same
        return posix.fstat(fd).st_mode & 0o170000 == 0o010000 and not self._poll.poll(0)

    def _draws(self) -> bool:
        """Whether its output is a terminal: without one the client prints, as if by `-p`."""
        if not LINUX:
            return not posix.environ.get(b"CLAUDE_CODE_ENTRYPOINT", b"").startswith(b"sdk")
        try:
            name = posix.readlink(f"/proc/{self._pid}/fd/1")
        except OSError:
            return False
        return name.startswith("/dev/") and name != "/dev/null"


def asks_to_print(word: bytes) -> bool:
    """`-p`, `--print`, or -p among other letters."""
    return word == b"--print" or (word[:1] == b"-" and word[:2] != b"--" and b"p" in word)


def read_file(path: str) -> bytes:
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return read_all(fd)
    finally:
        posix.close(fd)


def run(*command: str) -> bytes:
    """A system program's output."""
    reading, writing = posix.pipe()
    actions = [(posix.POSIX_SPAWN_DUP2, writing, 1), (posix.POSIX_SPAWN_CLOSE, reading)]
    pid = posix.posix_spawn(
        command[0],
        [encode(word) for word in command],
        {b"PATH": b"/usr/bin:/bin"},
        file_actions=actions,
    )
    posix.close(writing)
    output = read_all(reading)
    posix.close(reading)
    posix.waitpid(pid, 0)
    return output
