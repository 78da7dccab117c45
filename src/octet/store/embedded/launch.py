"""Starting the embedded server's process: its settings, its descriptors, and why it ended."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from octet.base.dirs import short_path
from octet.base.errors import ServerFailed
from octet.store.embedded.connection import Answer, ping
from octet.store.embedded.program import ServerProgram

LOG_LIMIT_BYTES = 1_000_000
FULL_DISK_BYTES = 65_536
POLL_S = 0.005
FORK_S = 10.0

SETTINGS = {
    # Names are relative to the working directory, because a socket's path may be 107 bytes long at
    # most.
    "port": "0",
    "unixsocket": "redis.sock",
    "unixsocketperm": "700",
    "dir": ".",
    "pidfile": "redis.pid",
    "logfile": "redis.log",
    "daemonize": "yes",
    "save": "",
    "appendonly": "yes",
    # Commands as text: every server reads them. Valkey 9's binary form stops Redis 7 from starting.
    "aof-use-rdb-preamble": "no",
    # `data.cut_torn_write` cuts off a last command that was never acknowledged, and keeps the file.
    # The server itself would also cut where a damaged length in the middle only looks like that,
    # and keep nothing.
    "aof-load-truncated": "no",
    "maxmemory-policy": "noeviction",
    "notify-keyspace-events": "Ex",
    "enable-debug-command": "no",
    "enable-protected-configs": "no",
    "enable-module-command": "no",
}

# What `octet redis fsync` says → `appendfsync`. "everysec" is not the server's own: while its fsync
# runs, Redis keeps acknowledged writes in its own memory for up to 2 s (measured with a slow disk:
# 1,016 of 17,262 lost at a kill -9). With "no" it writes before it answers, and `flush_to_disk`
# does the fsync from outside.
FSYNC = {"everysec": "no", "always": "always"}

# A server outlives its starter for days; of the starter's environment it gets what a program needs
# to run, and no secrets.
_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
)
_NO_REASON = ("WARNING", "Bio ")  # advice on the kernel, and threads that end with the process
_LOG_LINE = re.compile(r"\d+:[A-Z] .*?\d\d:\d\d:\d\d\.\d+ (?P<level>[.\-*#]) (?P<text>.*)")


def server_runs(directory: Path) -> bool:
    """Whether any process of a server lives here, answering or not."""
    try:
        descriptor = os.open(directory / "redis.alive", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def read_fsync(directory: Path) -> str:
    """How often the server's data is made safe against a power failure: a key of `FSYNC`."""
    try:
        chosen = (directory / "redis.fsync").read_text().strip()
    except OSError:
        return "everysec"
    return chosen if chosen in FSYNC else "everysec"


def launch(program: ServerProgram, directory: Path, deadline: float) -> str:
    """Start `program` and wait until it answers; returns why it ended instead, or nothing.
    `deadline` is of the monotonic clock.

    Raises:
        ServerFailed: it runs and does not answer in time.
        OSError: the directory cannot be written.
    """
    log = directory / "redis.log"
    _rotate(log)
    said_before = log.stat().st_size if log.exists() else 0
    try:
        _spawn(program, directory, log)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{program.path}: {getattr(error, 'strerror', None) or error}"
    while ping(short_path(directory / "redis.sock")) is not Answer.UP:
        if not server_runs(directory):
            return _reason_of_end(log, said_before)
        if time.monotonic() > deadline:
            raise ServerFailed(
                f"{program} in {directory} is still loading its data: try again in a moment, "
                f"or see {log}"
            )
        time.sleep(POLL_S)
    return ""


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _alive_lock(directory: Path) -> Iterator[int]:
    """The descriptor whose lock means "alive", locked; a server that inherits it keeps it so."""
    descriptor = os.open(directory / "redis.alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _lock(descriptor):
            raise BlockingIOError("another server has been started in the same directory")
        yield descriptor
    finally:
        os.close(descriptor)


def _spawn(program: ServerProgram, directory: Path, log: Path) -> None:
    """Returns when the server has left for the background: a session and process group of its own,
    no descriptor but the lock's.
    """
    (directory / "redis.pid").unlink(missing_ok=True)
    settings = SETTINGS | {"appendfsync": FSYNC[read_fsync(directory)]}
    arguments = [word for name, value in settings.items() for word in (f"--{name}", value)]
    with _alive_lock(directory) as descriptor, log.open("ab") as output:
        subprocess.run(
            [program.path, *arguments],
            cwd=directory,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[descriptor],
            start_new_session=True,
            umask=0o077,
            timeout=FORK_S,
            check=False,
        )


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_name("redis.log.1"))


def _reason_of_end(log: Path, start: int) -> str:
    """The last line of weight that the server logged since byte `start`, else its last line; advice
    on the kernel is none.
    """
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    if not lines:  # a full disk takes no log either
        full = shutil.disk_usage(log.parent).free < FULL_DISK_BYTES
        return "no space left on its disk" if full else "it ended without a word"
    logged = [
        match
        for match in map(_LOG_LINE.match, lines)
        if match and not match["text"].startswith(_NO_REASON)
    ]
    grave = [match["text"] for match in logged if match["level"] == "#"]
    return (grave or lines)[-1].rstrip(".")
