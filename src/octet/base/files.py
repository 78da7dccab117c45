"""One file at a time, for writing into somebody's repository: replaced at once, links not followed,
errors in one line.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from octet.base.errors import UsageError


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


def read_text(path: Path, most_bytes: int, advice: str = "") -> str:
    """A file that a person wrote, as text; `advice` says what to do with one that is longer than
    `most_bytes`.

    Raises:
        UsageError: it cannot be read, is no UTF-8, or is too long.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(most_bytes + 1)
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if len(data) > most_bytes:
        raise UsageError(f"{path} has more than {most_bytes} bytes{advice}")
    return text


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Replace `path` at once: a reader, or a kill, sees the old content or the new one. An existing
    file's mode stays.

    Raises:
        UsageError: read-only, full, or something else is in the way.
    """
    temporary = temporary_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        # O_EXCL: a link that the repository put under this name is not followed.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            if path.exists():
                os.fchmod(descriptor, path.stat().st_mode & 0o7777)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
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


def temporary_of(path: Path) -> Path:
    """Where `replace_file` writes first; left there only by a kill."""
    return path.with_name(f".{path.name}.octet-tmp")
