"""One file at a time: replaced at once, and for a repository's files with errors in one line.

write_file(path, content)           # raises OSError: Octet's own state
replace_file(path, content, 0o644)  # raises UsageError: a file in a repository, safe on the disk
"""

from __future__ import annotations

import glob
import os
import threading
from contextlib import suppress
from pathlib import Path

from octet.base.errors import UsageError

_SUFFIX = ".octet-tmp"


def read_file(path: Path) -> bytes | None:
    """The content; None when there is no such file.

    Raises:
        UsageError: it is there and cannot be read.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def read_text(path: Path, max_bytes: int, advice: str = "") -> str:
    """A file that a person wrote, as text; `advice` is for one longer than `max_bytes`.

    Raises:
        UsageError: it cannot be read, is no UTF-8, or is too long.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if len(data) > max_bytes:
        raise UsageError(f"{path} has more than {max_bytes} bytes{advice}")
    return text


def write_file(path: Path, content: bytes, mode: int = 0o666, *, durable: bool = False) -> None:
    """Replace `path` at once: a reader, or a kill, sees the old content or the new one. An existing
    file keeps its mode. `durable`: so does a power failure.

    Raises:
        OSError: it cannot be written; nothing has changed.
    """
    # A name for each writer: fifty may write the same file at once.
    writer = f"{os.getpid()}-{threading.get_native_id()}"
    temporary = path.with_name(f".{path.name}.{writer}{_SUFFIX}")
    try:
        temporary.unlink(missing_ok=True)
        # O_EXCL: a link that a repository put under this name is not followed.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            if path.exists():
                os.fchmod(descriptor, path.stat().st_mode & 0o7777)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(descriptor)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_if_changed(path: Path, text: str) -> None:
    """Replace a file, and make its directory, where it does not hold `text`.

    Raises:
        OSError: it cannot be written.
    """
    content = os.fsencode(text)
    with suppress(OSError):
        if path.read_bytes() == content:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, content)


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """`write_file`, durable, and the directories above it made.

    Raises:
        UsageError: read-only, full, or something else is in the way.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content, mode, durable=True)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}: run the command again when that is mended"
        ) from error


def move_file(source: Path, target: Path) -> None:
    """Rename a file, as it is: a link stays one. What lies at `target` is replaced; nothing happens
    where `source` is gone.

    Raises:
        UsageError: it cannot be moved.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
    except FileNotFoundError:
        return  # a run that was killed had moved it
    except OSError as error:
        raise UsageError(f"cannot move {source} to {target}: {error.strerror}") from error


def remove_file(path: Path) -> None:
    """Remove it if it is there.

    Raises:
        UsageError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except NotADirectoryError:
        return
    except OSError as error:
        raise UsageError(f"cannot remove {path}: {error.strerror}") from error


def remove_empty(directory: Path) -> None:
    """Remove a directory that holds nothing."""
    try:
        directory.rmdir()
    except OSError:
        return  # never made, or it holds what is not ours


def remove_unfinished(path: Path) -> None:
    """Remove what writers of `path` left that were killed before they put it in place.

    Raises:
        UsageError: it cannot be removed.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{_SUFFIX.removeprefix('.')}"):
        remove_file(left)
