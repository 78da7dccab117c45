"""Ports of worktrees, unique over all live worktrees of this machine; recorded in one file of the
state directory.

A port belongs to a worktree's directory. It counts as free once that directory is no longer a
worktree.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from octet.base import dirs
from octet.base.errors import Refused, UsageError
from octet.base.files import read_file, replace_file
from octet.worktree.locking import file_lock

# Below the ports that systems use for outgoing connections (32768 and up on Linux, 49152 and up on
# macOS).
FIRST, LAST = 20_000, 29_999
LOCK_TIMEOUT_S = 30.0


def allocate_ports(worktree: Path, names: Sequence[str]) -> Mapping[str, int]:
    """A port for each name, the same as before for a name that has one; ports of names that are no
    longer given are released.

    Raises:
        Refused: all ports of the range are taken.
        UsageError: the state directory is not writable.
    """
    with _locked():
        taken = _read()
        before = {name: port for port, (path, name) in taken.items() if path == str(worktree)}
        others = {
            port for port, (path, _) in taken.items() if path != str(worktree) and _is_live(path)
        }
        found: dict[str, int] = {}
        for name in names:
            kept = before.get(name, 0)
            if not kept or kept in others:
                kept = _find_port(others | set(found.values()) | set(before.values()))
            found[name] = kept
        entries = {port: entry for port, entry in taken.items() if port in others}
        _write({**entries, **{port: (str(worktree), name) for name, port in found.items()}})
    return found


def release_ports(worktree: Path) -> Sequence[int]:
    """Release a worktree's ports; returns them."""
    return _release(lambda path: path == str(worktree))


def release_orphaned_ports() -> Sequence[int]:
    """Release the ports of directories that are no longer worktrees; returns them."""
    return _release(lambda path: not _is_live(path))


def _release(is_wanted: Callable[[str], bool]) -> Sequence[int]:
    with _locked():
        taken = _read()
        released = [port for port, (path, _) in taken.items() if is_wanted(path)]
        if released:
            _write({port: entry for port, entry in taken.items() if port not in released})
    return released


def _find_port(taken: set[int]) -> int:
    for port in range(FIRST, LAST + 1):
        if port not in taken and _is_unused(port):
            return port
    raise Refused(
        f"all ports from {FIRST} to {LAST} are taken: `octet worktree doctor --fix` frees "
        "those of worktrees that are gone"
    )


def _is_unused(port: int) -> bool:
    """Whether no program listens there now; programs other than Octet's are not in the record."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _is_live(path: str) -> bool:
    return Path(path, ".git").exists()


@contextmanager
def _locked() -> Iterator[None]:
    with file_lock(dirs.make_private(dirs.state_dir()) / "ports.lock", LOCK_TIMEOUT_S):
        yield


def _record() -> Path:
    return dirs.state_dir() / "ports.json"


def _read() -> dict[int, tuple[str, str]]:
    """Port → path and name.

    Raises:
        UsageError: the file is damaged. Starting afresh would be wrong: worktrees keep their
            `.env.octet`, and new ones would clash with them.
    """
    raw = read_file(_record())
    try:
        return {
            int(port): (str(path), str(name))
            for port, (path, name) in json.loads(raw or b"{}").items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{_record()} is damaged: remove it, then run `octet worktree add` again in each "
            "worktree"
        ) from error


def _write(entries: Mapping[int, tuple[str, str]]) -> None:
    record = json.dumps({str(port): entry for port, entry in sorted(entries.items())}) + "\n"
    replace_file(_record(), record.encode(), 0o600)
