"""Putting restored data into the place of what a server had, so that a kill at any moment leaves
the one or the other.

The new data is made ready in `restored/`, beside the old. The file `ready` in there is the
decision: before it is written nothing has happened, after it whoever starts the server next carries
it to its end. Only who holds `redis.lock` comes here, and no server runs.
"""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from octet.store.embedded.data import DIRECTORY
from octet.store.embedded.launch import is_alive

STAGED = "restored"
CHECKED = "checked"
_READY = "ready"


def decide(directory: Path, stamp: str) -> Path | None:
    """From here on the staged data is the server's; where the data before it is kept, as
    `replaced-<stamp>`, if there was any.
    """
    staged = directory / STAGED
    _sync(staged / DIRECTORY)
    with (staged / _READY).open("w") as file:
        file.write(stamp)
        file.flush()
        os.fsync(file.fileno())
    _sync(staged)
    return finish(directory)


def finish(directory: Path) -> Path | None:
    """Carry out a restoration that was decided, forget one that was not; nothing where there is
    neither.
    """
    staged, current, kept = directory / STAGED, directory / DIRECTORY, None
    if (staged / _READY).exists() and (staged / DIRECTORY).exists():
        (directory / "redis.synced").unlink(missing_ok=True)  # it speaks of the old files
        kept = directory / f"replaced-{(staged / _READY).read_text()}"
        if current.exists():
            current.rename(kept)
        (staged / DIRECTORY).rename(current)
        _sync(directory)
    for name in (STAGED, CHECKED):
        clear(directory / name)
    return kept if kept and kept.exists() else None


def clear(scratch: Path) -> None:
    """Remove a directory in which data was tried out, and the server in it, if that outlived
    whoever started it.
    """
    if scratch.exists():
        if is_alive(scratch):
            with suppress(OSError, ValueError):  # it serves nobody, and may be gone by now
                os.kill(int((scratch / "redis.pid").read_text()), signal.SIGKILL)
        shutil.rmtree(scratch, ignore_errors=True)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
