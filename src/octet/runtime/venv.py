"""Whether an environment still fits, and a lock on it. Every command pays for its imports."""

from __future__ import annotations

import os
import sys

from octet import __version__

# In place of a stamp: bootstrap.py has just chosen the environment, so another look is of no use.
CHECKED = "checked"
USE_RECORDED_EVERY_S = 24 * 3600


def stamp(root: str) -> str:
    """What an environment was chosen for. When it has changed, bootstrap.py has to choose again."""
    try:
        project = os.stat(os.path.join(root, "pyproject.toml"))
    except OSError:
        return ""
    parts = (
        __version__,
        sys.implementation.cache_tag,
        os.uname().machine,
        project.st_mtime_ns,
        project.st_size,
    )
    return ",".join(map(str, parts))


def hold(venv: str) -> bool:
    """Keep the environment from removal while this process lives; false where it is gone or going.

    The lock is on the directory itself, and its time says when it was last used.
    """
    import fcntl
    import time

    try:
        directory = os.open(venv, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(directory, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass  # a disk without locks: nothing is removed there either
        held = os.fstat(directory)
        if held.st_mtime < time.time() - USE_RECORDED_EVERY_S and os.access(venv, os.W_OK):
            os.utime(directory)
        return os.path.samestat(held, os.stat(venv))
    except OSError:
        return False
