"""`python -m octet`, and what bin/octet runs: Python on this very directory.

Imports as little as it can, because it stands in front of every command.
"""

from __future__ import annotations

import os
import sys

if not __package__:
    # Python puts a directory that it runs first on the path; there `process` and `events` would be modules of their own.
    sys.path[0] = os.path.dirname(sys.path[0])

from octet import __version__

# In place of a stamp: bootstrap.py has just looked, so that what does not fit now would not fit next time either.
CHECKED = "checked"
USE_RECORDED_EVERY_S = 24 * 3600


def stamp(root: str) -> str:
    """What an environment was chosen for; bin/octet hands back the one recorded, and another value asks for a closer look."""
    try:
        project = os.stat(os.path.join(root, "pyproject.toml"))
    except OSError:
        return ""
    parts = (__version__, sys.implementation.cache_tag, os.uname().machine, project.st_mtime_ns, project.st_size)
    return ",".join(map(str, parts))


def hold(venv: str) -> bool:
    """Keep the environment from being removed while this process lives; false where it is gone or going.

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


def main() -> None:
    """Run the command line; where bin/octet chose the environment, see first that it still fits."""
    if recorded := sys._xoptions.get("octet"):
        root = os.path.dirname(sys.path[0])
        fits = sys.prefix != sys.base_prefix and hold(sys.prefix) and recorded == stamp(root)
        if not fits and recorded != CHECKED:
            base = getattr(sys, "_base_executable", sys.executable)
            script = os.path.join(root, "src", "octet", "bootstrap.py")
            os.execv(base, [base, "-I", "-S", "-B", script, root, *sys.argv[1:]])
    os.environ.pop("OCTET_SETUP", None)
    try:
        from octet.cli import main as run
    except ModuleNotFoundError as error:
        print(f"octet: {error}: the environment {sys.prefix} is damaged: remove it and try again", file=sys.stderr)
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
