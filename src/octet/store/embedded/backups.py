"""Backups of the embedded server's data: one file of Redis commands, made while it runs, tried out
before it is called a backup.

The file is what the server loads: the parts of its append-only log, one after the other, up to a
whole command. A write stands in the log before it is acknowledged, so that the backup has all that
was acknowledged when it began. Every Redis and Valkey of the same commands reads it, also by
`redis-cli --pipe`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import redis

from octet.base.dirs import make_private, short_path, state_dir
from octet.base.errors import OctetError, Refused, ServerFailed, UsageError
from octet.base.polling import poll_until
from octet.store.connection import open_client
from octet.store.embedded import data, restoration
from octet.store.embedded.aof import scan
from octet.store.embedded.connection import ServerConnection
from octet.store.embedded.launch import launch, server_runs
from octet.store.embedded.server import (
    end_server,
    programs_for,
    server_directory,
    server_lock,
    server_url,
    start_server,
)
from octet.store.failures import translate_errors
from octet.store.token_epoch import RESTORE_STEP, advance_tokens, projects

DEADLINE_S = 120.0
ENDING_S = 10.0

_BASE = "appendonly.aof.1.base.aof"
_HEARTBEATS = "workflow:{*}:heartbeat:*"


@dataclass(frozen=True)
class Backup:
    """A backup that has been loaded by a server: where, its size, how many keys and projects it
    brings back.
    """

    path: str
    bytes: int
    keys: int
    projects: int


@dataclass(frozen=True)
class Restored:
    """What a restoration brought back; `kept`: where the earlier data is, "" without any."""

    keys: int
    projects: int
    kept: str


def default_target() -> Path:
    """Where a backup goes without a name: under Octet's state, never into a repository."""
    return state_dir() / "backups" / f"redis-{time.strftime('%Y%m%d-%H%M%S')}.aof"


def write_backup(target: Path, directory: Path | None = None) -> Backup:
    """Write the data to `target`, which must not exist, mode 0600; it has that name only when a
    server has loaded it.

    Raises:
        Refused: there is no data, or `target` exists.
        UsageError: `target` cannot be written.
        ServerFailed: the data does not load.
    """
    directory = directory or server_directory()
    if not (directory / data.DIRECTORY / data.MANIFEST).exists():
        raise Refused(f"there is nothing to back up: no server has kept data in {directory}")
    if target.exists() or target.is_symlink():
        raise Refused(f"{target} exists: name another file, or remove it")
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _copy(directory, unfinished)
            if not unfinished.stat().st_size:
                raise Refused(f"there is nothing to back up: the server in {directory} is empty")
        except OSError as error:
            raise UsageError(
                f"cannot write {target}: {error.strerror}: name another file"
            ) from error
        backup = _verified(unfinished, target, directory)
        unfinished.rename(target)
    finally:
        with suppress(OSError):  # it was moved, or could never be made
            unfinished.unlink()
    return backup


def living_agents(directory: Path | None = None) -> list[str]:
    """The agents, of any project, that have a heartbeat now; none where no server runs.

    Raises:
        StoreUnreachable: the server runs and does not answer.
    """
    directory = directory or server_directory()
    if not server_runs(directory):
        return []
    with (
        open_client(server_url(directory), name="octet-restore") as client,
        translate_errors(client),
    ):
        return sorted(key.rpartition(":")[2] for key in client.scan_iter(_HEARTBEATS, count=10_000))


def restore(source: Path, *, force: bool = False, directory: Path | None = None) -> Restored:
    """Give the server the data of a backup, and keep what it had beside it. A kill at any moment
    leaves the one or the other.

    Fencing tokens go on above all that were given since the backup was made: a holder of one of
    those is refused.

    Raises:
        Refused: agents are alive and `force` is not given.
        UsageError: the file is no backup; nothing was changed.
        ServerFailed: the server does not end, or does not start again.
    """
    directory = directory or server_directory()
    deadline = time.monotonic() + DEADLINE_S
    with server_lock(directory, deadline):
        restoration.finish(directory)
        _refuse_the_living(directory, force)
        staged = directory / restoration.STAGED
        try:
            with _loaded(source, staged) as client:
                count, keys = advance_tokens(client, RESTORE_STEP), int(client.dbsize())
            _refuse_the_living(directory, force)  # trying it out took its time
        except OctetError:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        end_server(directory, deadline, force=True)
        kept = restoration.commit(directory, f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
        start_server(directory, deadline)
    return Restored(keys, count, str(kept or ""))


def _refuse_the_living(directory: Path, force: bool) -> None:
    if force:
        return
    if agents := living_agents(directory):
        names = ", ".join(agents[:5]) + (f" and {len(agents) - 5} more" if len(agents) > 5 else "")
        raise Refused(
            f"{len(agents)} agents live and would lose their work's place ({names}): end "
            "them first, or give --force"
        )


def _copy(directory: Path, target: Path) -> None:
    """The log's parts as one file, cut after the last whole command, safe on disk."""
    with (
        _parts(directory) as parts,
        os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file,
    ):
        for part in parts:
            shutil.copyfileobj(part, file, 1 << 20)
        file.flush()
        found = scan(target)
        if not found.intact and not found.torn:
            raise ServerFailed(
                f"{directory / data.DIRECTORY} is damaged at byte {found.whole:,}: `octet "
                "redis repair` says more"
            )
        file.truncate(found.whole)  # the server is in the middle of a write
        os.fsync(file.fileno())


@contextmanager
def _parts(directory: Path) -> Iterator[list[BinaryIO]]:
    """The log's files, open: the server may rewrite them meanwhile, and delete the old ones."""
    opened: list[BinaryIO] = []
    deadline = time.monotonic() + ENDING_S
    try:
        while True:
            try:
                names = data.files(directory)
                opened += [name.open("rb") for name in names]
                if data.files(directory) == names:
                    break
            except FileNotFoundError:
                if time.monotonic() > deadline:
                    raise
            for file in opened:
                file.close()
            opened.clear()
        yield opened
    finally:
        for file in opened:
            file.close()


def _verified(unfinished: Path, target: Path, directory: Path) -> Backup:
    with server_lock(directory, time.monotonic() + DEADLINE_S):
        scratch = directory / restoration.CHECKED
        try:
            with _loaded(unfinished, scratch) as client:
                return Backup(
                    str(target),
                    unfinished.stat().st_size,
                    int(client.dbsize()),
                    len(projects(client)),
                )
        except UsageError as error:
            raise ServerFailed(
                f"the backup was not kept, because no server loads it: {error}"
            ) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _loaded(source: Path, scratch: Path) -> Iterator[redis.Redis]:
    """A client of a server of its own, in `scratch`, that has the backup's data; it is ended, and
    its data complete, at the end.

    Raises:
        UsageError: the file cannot be read, or is no backup.
    """
    try:
        found = scan(source)
        if not found.size:
            raise UsageError(f"{source} is empty: it is no backup")
        if not found.intact:
            raise UsageError(
                f"{source} is no whole backup: it is damaged or cut off at byte "
                f"{found.whole:,}; take another"
            )
        restoration.remove_scratch(scratch)
        make_private(make_private(scratch) / data.DIRECTORY)
        with source.open("rb") as whole, (scratch / data.DIRECTORY / _BASE).open("wb") as copy:
            shutil.copyfileobj(whole, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
        (scratch / data.DIRECTORY / data.MANIFEST).write_text(f"file {_BASE} seq 1 type b\n")
    except OSError as error:
        raise UsageError(f"cannot use {source}: {error.strerror}") from error
    _launch(source, scratch)
    try:
        with open_client(server_url(scratch)) as client, translate_errors(client):
            yield client
    finally:
        _end(scratch)


def _launch(source: Path, scratch: Path) -> None:
    reasons = []
    for program in programs_for(data.read_writer(scratch.parent)):
        reason = launch(program, scratch, time.monotonic() + DEADLINE_S)
        if not reason:
            return
        reasons.append(f"{program}: {reason}")
    raise UsageError(
        f"{source} does not load ({'; '.join(reasons)}): take another backup, or the server "
        "that wrote it"
    )


def _end(scratch: Path) -> None:
    """End it by SHUTDOWN, which makes what it has written safe."""
    try:
        with ServerConnection(short_path(scratch / "redis.sock")) as connection:
            connection.shut_down()
    except OSError as error:
        raise ServerFailed(f"the server that tried the backup does not end: {error}") from error
    if not poll_until(lambda: not server_runs(scratch), ENDING_S):
        raise ServerFailed(
            f"the server that tried the backup in {scratch} does not end: kill it, then try again"
        )


def repair(directory: Path | None = None) -> tuple[Path, int] | None:
    """Cut the log before its first damage while no server runs: (the file as it was, bytes cut
    off), None when nothing is damaged.

    Raises:
        Refused: a server runs, so that it has loaded.
        ServerFailed: cutting would lose more than the end; the message says what to do instead.
    """
    directory = directory or server_directory()
    with server_lock(directory, time.monotonic() + DEADLINE_S):
        if server_runs(directory):
            raise Refused("the server runs, so its data has loaded: there is nothing to repair")
        restoration.finish(directory)
        return data.repair(directory)


def describe_damage(directory: Path | None = None) -> str:
    """What `repair` would cut off, for the question to a person; empty when the log is whole.

    Raises:
        ServerFailed: there is no log to look at.
    """
    directory = directory or server_directory()
    try:
        last = data.files(directory)[-1]
        found = scan(last)
    except (OSError, IndexError) as error:
        raise ServerFailed(
            f"{directory / data.DIRECTORY} has no log that could be repaired"
        ) from error
    lost = found.size - found.whole
    return f"the last {lost:,} of {found.size:,} bytes of {last.name}" if lost else ""
