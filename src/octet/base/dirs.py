"""Where a person's state on a machine lies: daemon, server, cache, sockets, trust records.

One rule on every system, because `hooks/launch` computes the same in a few lines of `sh`:
`$OCTET_HOME`, else the XDG base directories, else their defaults under the home directory.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from octet.base.errors import UsageError

# Linux allows 108 bytes for a unix socket's path, macOS 104, the closing NUL included.
SOCKET_PATH_LIMIT = 100


def state_dir() -> Path:
    """Directory of the daemon, the embedded server and the trust records; not created here."""
    return _base("OCTET_HOME", "", "XDG_STATE_HOME", ".local/state")


def cache_dir() -> Path:
    """Directory of the virtual environment and other rebuildable files; not created here."""
    return _base("OCTET_HOME", "cache", "XDG_CACHE_HOME", ".cache")


def make_private(directory: Path) -> Path:
    """Create `directory` with mode 0700 and return it.

    Raises:
        UsageError: it cannot be made (read-only home, full disk), or another user owns it.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat()
        if status.st_uid != os.getuid():
            raise UsageError(
                f"{directory} belongs to another user: set OCTET_HOME to a directory of your own"
            )
        if stat.S_IMODE(status.st_mode) & 0o077:
            directory.chmod(0o700)
    except OSError as error:
        raise UsageError(
            f"cannot use {directory}: {error.strerror}: free it or set OCTET_HOME"
        ) from error
    return directory


def short_path(path: Path) -> str:
    """The path of a unix socket in a form short enough to connect to.

    A long home directory exceeds the limit of `sun_path`. Then the result leads through a link in
    the temporary directory, because the limit counts the name as given, not what it resolves to.
    """
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return str(path)
    links = Path(tempfile.gettempdir()) / f"octet-{os.getuid()}"
    if links.is_symlink():  # planted: its target is not ours to change
        raise UsageError(
            f"{links} is a link that Octet did not make: remove it, or set OCTET_HOME to a shorter "
            "path"
        )
    make_private(links)
    link = links / hashlib.sha256(os.fsencode(path.parent)).hexdigest()[:16]
    if not link.is_symlink() or link.readlink() != path.parent:
        link.unlink(missing_ok=True)
        try:
            link.symlink_to(path.parent)
        except FileExistsError:
            pass  # another process made the same link between the two lines
    return str(link / path.name)


def _base(own: str, below: str, xdg: str, default: str) -> Path:
    if own_home := os.environ.get(own):
        return (Path(own_home) / below).absolute()
    if base := os.environ.get(xdg):
        return (Path(base) / "octet").absolute()
    try:
        return (Path.home() / default / "octet").absolute()
    except RuntimeError as error:
        raise UsageError(
            "there is no home directory to keep Octet's state in: set HOME or OCTET_HOME"
        ) from error
