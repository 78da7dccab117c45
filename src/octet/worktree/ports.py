"""Ports of worktrees: unique over all live worktrees of this machine, kept in one file of the state
directory.

An entry belongs to a worktree's directory. One whose directory is no worktree any more counts as
free.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from octet.base import dirs
from octet.base.errors import Refused, UsageError
from octet.base.files import read_file, replace_file

# Below the range from which systems take ports for outgoing connections (32768 on Linux, 49152 on
# macOS).
FIRST, LAST = 20_000, 29_999
LOCK_TIMEOUT_S = 30.0


def allocate_ports(worktree: Path, names: Sequence[str]) -> Mapping[str, int]:
    """A port for each name, the same ones when asked again; those of names that are no longer
    wanted are free again.

    Raises:
        Refused: all ports of the range are taken.
        UsageError: the state directory cannot be written.
    """
    with _locked():
        taken = _read()
        before = {name: port for port, (place, name) in taken.items() if place == str(worktree)}
        others = {
            port for port, (place, _) in taken.items() if place != str(worktree) and _lives(place)
        }
        found: dict[str, int] = {}
        for name in names:
            kept = before.get(name, 0)
            found[name] = (
                kept
                if kept and kept not in others
                else _free_port(others | set(found.values()) | set(before.values()))
            )
        entries = {port: entry for port, entry in taken.items() if port in others}
        _write({**entries, **{port: (str(worktree), name) for name, port in found.items()}})
    return found


def free_ports(worktree: Path) -> Sequence[int]:
    """Give a worktree's ports back; which they were."""
    with _locked():
        taken = _read()
        freed = [port for port, (place, _) in taken.items() if place == str(worktree)]
        if freed:
            _write({port: entry for port, entry in taken.items() if port not in freed})
    return freed


def free_dead_ports() -> Sequence[int]:
    """Give back the ports of directories that are no worktrees any more."""
    with _locked():
        taken = _read()
        freed = [port for port, (place, _) in taken.items() if not _lives(place)]
        if freed:
            _write({port: entry for port, entry in taken.items() if port not in freed})
    return freed


def ports_of(worktree: Path) -> Mapping[str, int]:
    """The ports that a worktree has."""
    return {name: port for port, (place, name) in _read().items() if place == str(worktree)}


def _free_port(taken: set[int]) -> int:
    for port in range(FIRST, LAST + 1):
        if port not in taken and _is_unused(port):
            return port
    raise Refused(
        f"all ports from {FIRST} to {LAST} are taken: `octet worktree doctor --fix` frees "
        "those of worktrees that are gone"
    )


def _is_unused(port: int) -> bool:
    """Whether nobody listens there now; a program that is not ours does not ask us."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _lives(place: str) -> bool:
    return Path(place, ".git").exists()


@contextmanager
def _locked() -> Iterator[None]:
    path = dirs.make_private(dirs.state_dir()) / "ports.lock"
    try:
        with FileLock(path, timeout=LOCK_TIMEOUT_S):
            yield
    except Timeout as error:
        raise Refused(
            f"another process has held {path} for {LOCK_TIMEOUT_S:.0f} s: end it, then try again"
        ) from error


def _record() -> Path:
    return dirs.state_dir() / "ports.json"


def _read() -> dict[int, tuple[str, str]]:
    """Port → worktree and name. What cannot be read is a damaged file: worktrees keep their
    `.env.octet`, new ones would clash.
    """
    raw = read_file(_record())
    try:
        return {
            int(port): (str(place), str(name))
            for port, (place, name) in json.loads(raw or b"{}").items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{_record()} is damaged: remove it, then run `octet worktree add` again in each "
            "worktree"
        ) from error


def _write(entries: Mapping[int, tuple[str, str]]) -> None:
    replace_file(
        _record(),
        (json.dumps({str(port): entry for port, entry in sorted(entries.items())}) + "\n").encode(),
        0o600,
    )
