"""The embedded server's data: the program that wrote it, whether it is there and whole, what to do
when it does not load.

A server that finds nothing starts empty: the worst answer for a person who had data there. So a
directory counts as never used only if no witness contradicts: the files themselves, `redis.json` (a
server has served here) and `redis.synced` (the length of each file when it was last made safe).
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from octet.base.errors import ServerFailed
from octet.base.files import write_file
from octet.store.embedded.aof import scan
from octet.store.embedded.program import ServerProgram

DIRECTORY = "appendonlydir"
MANIFEST = "appendonly.aof.manifest"
MAX_KEPT = 3


@dataclass(frozen=True)
class Writer:
    """The program that last served the data, and the host it ran on."""

    family: str
    version: tuple[int, int, int]
    binary: str
    host: str

    @classmethod
    def of(cls, program: ServerProgram) -> Writer:
        return cls(program.family, program.version, str(program.path), platform.node())

    def is_read_by(self, program: ServerProgram) -> bool:
        """Whether `program` knows every command that this writer may have logged."""
        return program.family == self.family and program.version >= self.version

    def __str__(self) -> str:
        return f"{self.family} {'.'.join(map(str, self.version))}"


def record_writer(directory: Path, writer: Writer) -> None:
    """Keep `writer` in `redis.json`, whole or not at all."""
    write_file(directory / "redis.json", f"{json.dumps(asdict(writer))}\n".encode())


def read_writer(directory: Path) -> Writer | None:
    """The program that wrote the data; None when that is not known."""
    try:
        fields = json.loads((directory / "redis.json").read_text())
        major, minor, patch = (int(part) for part in fields["version"])
        return Writer(
            str(fields["family"]), (major, minor, patch), str(fields["binary"]), str(fields["host"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent, cut off or foreign: it only orders the programs and words a message


def log_files(directory: Path) -> list[Path]:
    """The files that the server appends to."""
    return sorted((directory / DIRECTORY).glob("*.incr.aof"))


def files(directory: Path) -> list[Path]:
    """The files that make up the data, in the order of loading; the manifest names them.

    Raises:
        FileNotFoundError: there is no manifest.
    """
    named = {"b": list[str](), "i": list[str]()}
    for line in (directory / DIRECTORY / MANIFEST).read_text().splitlines():
        words = line.split()
        fields = dict(zip(words[::2], words[1::2], strict=False))
        named.get(fields.get("type", ""), []).append(fields.get("file", ""))
    return [directory / DIRECTORY / name for name in named["b"] + named["i"] if name]


def check(directory: Path) -> None:
    """Refuse what Redis would take for an empty or smaller store.

    Raises:
        ServerFailed: says what is missing and what to do.
    """
    data = directory / DIRECTORY
    if not (data / MANIFEST).exists():
        _check_nothing_was_there(directory, data)
        return
    kept = _read_synced(directory)
    for file in files(directory):
        if not file.exists():
            raise ServerFailed(
                f"{file} is missing, a part of what your projects had: {_ways_out(directory)}"
            )
        size, was = file.stat().st_size, kept.get(file.name, 0)
        if size < was / 2:
            raise ServerFailed(
                f"{file} has {size:,} bytes, and had {was:,} when they were safe on disk: "
                f"{_ways_out(directory)}"
            )


def _check_nothing_was_there(directory: Path, data: Path) -> None:
    # A server killed in its first moments leaves an empty base and no manifest; that is nothing to
    # lose.
    orphans = [file.name for file in data.glob("*.aof") if file.stat().st_size]
    if orphans:
        names = ", ".join(sorted(orphans))
        raise ServerFailed(
            f"{data} has data ({names}) but no {MANIFEST}: put that back, or {_ways_out(directory)}"
        )
    if (directory / "redis.json").exists():
        raise ServerFailed(
            f"{data} is empty, and a server has kept your projects' data there: "
            f"{_ways_out(directory)}"
        )


def note_synced(directory: Path) -> None:
    """Remember the lengths of the files that are safe now; writes only what has changed."""
    with suppress(OSError):  # being rewritten, or a full disk: one witness less
        sizes = {file.name: file.stat().st_size for file in files(directory)}
        if sizes != _read_synced(directory):
            write_file(directory / "redis.synced", f"{json.dumps(sizes)}\n".encode())


def _read_synced(directory: Path) -> Mapping[str, int]:
    try:
        return {
            str(name): int(size)
            for name, size in json.loads((directory / "redis.synced").read_text()).items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # absent or cut off: one witness less


def cut_torn_write(directory: Path) -> Path | None:
    """Cut off a last write that was not finished and so never acknowledged; the file as it was is
    kept beside, and returned.

    None where there is nothing to mend in this way: the data is whole, or damaged elsewhere.
    """
    try:
        last = files(directory)[-1]
        found = scan(last)
    except (OSError, IndexError):
        return None
    return _cut(directory, last, found.whole) if found.torn else None


def repair(directory: Path) -> tuple[Path, int] | None:
    """Cut the log before its first damage, whatever follows; the file as it was is kept. (kept,
    bytes cut off); None: nothing is damaged.

    Raises:
        ServerFailed: there is no data, or what is damaged is not the end of the log: cutting there
            would lose what came long before.
    """
    data = directory / DIRECTORY
    try:
        *before, last = files(directory)
        damaged = [file for file in before if not scan(file).intact]
        found = scan(last)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its manifest names no file"
        raise ServerFailed(
            f"{data} cannot be repaired ({reason}): {_ways_out(directory)}"
        ) from error
    if damaged:
        raise ServerFailed(
            f"{damaged[0]} is damaged, and others build on it: {_ways_out(directory)}"
        )
    return None if found.intact else (_cut(directory, last, found.whole), found.size - found.whole)


def _cut(directory: Path, file: Path, length: int) -> Path:
    """Shorten a file after keeping a copy. Killed in between, it starts over, nothing lost."""
    kept = directory / f"damaged-{time.strftime('%Y%m%d-%H%M%S')}-{file.name}"
    unfinished = kept.with_name(kept.name + ".part")
    shutil.copyfile(file, unfinished)
    unfinished.chmod(0o600)
    with unfinished.open("rb") as copy:
        os.fsync(copy.fileno())
    unfinished.replace(kept)
    with file.open("rb+") as damaged:
        damaged.truncate(length)
        os.fsync(damaged.fileno())
    (directory / "redis.synced").unlink(missing_ok=True)
    for older in damaged_files(directory)[:-MAX_KEPT]:
        older.unlink(missing_ok=True)
    return kept


def damaged_files(directory: Path) -> list[Path]:
    """What was kept of files that were cut, the oldest first."""
    return sorted(directory.glob("damaged-*.aof"))


def advise(directory: Path, reason: str, writer: Writer | None) -> str:
    """What to do when no program could start for `reason`, the server's own last words."""
    lower = reason.lower()
    if "no space left" in lower:
        return f"free space on the disk of {directory}"
    if "bad file format" in lower or "unexpected end of file" in lower:
        return (
            "`octet redis repair` cuts it before the damage and keeps it as it is now; or "
            f"{_ways_out(directory)}"
        )
    if "rdb" in lower or "crc" in lower or "wrong signature" in lower or "internal error" in lower:
        return f"put {_program(writer)} on PATH if that wrote it, or {_ways_out(directory)}"
    if "append only file" in lower or "unknown command" in lower:
        return f"put {_program(writer)} on PATH to read its data, or {_ways_out(directory)}"
    return f"see {directory / 'redis.log'}"


def _program(writer: Writer | None) -> str:
    return f"{writer} or newer" if writer else "the program that wrote it"


def _ways_out(directory: Path) -> str:
    """The two ways out of lost data, as commands."""
    here = shlex.quote(str(directory))
    return (
        f"`octet redis restore FILE` takes a backup, `mv {here} "
        f"{shlex.quote(str(directory) + '.old')}` starts empty"
    )
