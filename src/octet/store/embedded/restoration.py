"""A restoration: a backup's data takes the place of the server's, and a kill at any moment leaves
the one or the other.

The new data is made ready in `restored/`, beside the old. The file `ready` in there is the
decision: before it is written nothing has happened, and afterwards the next start of the server
carries it out. The caller holds `redis.lock`, and no server runs.
"""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from octet.base.files import write_file
from octet.store.embedded.data import DIRECTORY
from octet.store.embedded.launch import server_runs

STAGED = "restored"
CHECKED = "checked"
_READY = "ready"


def commit(directory: Path, stamp: str) -> Path | None:
    """From here on the staged data is the server's. Returns where the data before it is kept,
    `replaced-<stamp>`, if there was any.
    """
    staged = directory / STAGED
    _sync(staged / DIRECTORY)
    write_file(staged / _READY, stamp.encode(), durable=True)
    _sync(staged)
    return finish(directory)


def finish(directory: Path) -> Path | None:
    """Carry out a restoration that was committed, remove one that was not, if there is any.

    Returns where the former data is kept, if there was any.
    """
    staged, current, kept = directory / STAGED, directory / DIRECTORY, None
    if (staged / _READY).exists() and (staged / DIRECTORY).exists():
        (directory / "redis.synced").unlink(missing_ok=True)  # it is about the old files
        kept = directory / f"replaced-{(staged / _READY).read_text()}"
        if current.exists():
            current.rename(kept)
        (staged / DIRECTORY).rename(current)
        _sync(directory)
    for name in (STAGED, CHECKED):
        remove_scratch(directory / name)
    return kept if kept and kept.exists() else None


def remove_scratch(scratch: Path) -> None:
    """Remove a directory in which data was tried out, and kill the server that still runs there."""
    if scratch.exists():
        if server_runs(scratch):
            with suppress(OSError, ValueError):  # it has no clients, and may be gone by now
                os.kill(int((scratch / "redis.pid").read_text()), signal.SIGKILL)
        shutil.rmtree(scratch, ignore_errors=True)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
