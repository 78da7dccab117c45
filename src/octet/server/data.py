"""The embedded server's data: who wrote it, whether it is whole, what to do when it does not load."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from octet.errors import ServerFailed
from octet.server.program import ServerProgram

MANIFEST = "appendonly.aof.manifest"


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
    unfinished = directory / f"redis.json.{os.getpid()}"
    unfinished.write_text(json.dumps(asdict(writer)) + "\n")
    unfinished.replace(directory / "redis.json")


def read_writer(directory: Path) -> Writer | None:
    """Who wrote the data; None when that is not known."""
    try:
        fields = json.loads((directory / "redis.json").read_text())
        major, minor, patch = (int(part) for part in fields["version"])
        return Writer(str(fields["family"]), (major, minor, patch), str(fields["binary"]), str(fields["host"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent, cut off or foreign: it only orders the programs and words a message


def log_files(directory: Path) -> list[Path]:
    """The files that the server appends to."""
    return sorted((directory / "appendonlydir").glob("*.incr.aof"))


def check(directory: Path) -> None:
    """Refuse what Redis would take for an empty store: data whose manifest is gone. It would write over the files.

    Raises:
        ServerFailed: says where the data is.
    """
    data = directory / "appendonlydir"
    if (data / MANIFEST).exists():
        return
    # A server killed in its first moments leaves an empty base and no manifest; that is nothing to lose.
    orphans = [file.name for file in data.glob("*.aof") if file.stat().st_size]
    if orphans:
        names = ", ".join(sorted(orphans))
        raise ServerFailed(f"{data} has data ({names}) but no {MANIFEST}: restore that, or move the directory away to start empty")


def advise(directory: Path, reason: str, writer: Writer | None) -> str:
    """What to do when no program could start for `reason`, the server's own last words."""
    data = directory / "appendonlydir"
    if "no space left" in reason.lower():
        return f"free space on the disk of {directory}"
    if "bad file format" in reason.lower():
        return f"repair a copy with redis-check-aof --fix {data / MANIFEST}, or move {data} away to start empty"
    if "append only file" in reason.lower() or "rdb format" in reason.lower():
        program = f"{writer} or newer" if writer else "the program that wrote it"
        return f"put {program} on PATH to read its data, or move {data} away to start empty"
    return f"see {directory / 'redis.log'}"
