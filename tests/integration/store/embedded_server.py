"""The embedded server of a test, from outside: its files, its end, its refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.redis_fixtures import kill_hard

from octet.base.errors import OctetError, ServerFailed
from octet.store import embedded
from octet.store.embedded.launch import server_runs


def script(path: Path, text: str) -> Path:
    """A program of the test's own."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def pid_of(directory: Path) -> int:
    """The running server's process."""
    status = embedded.read_status(directory)
    assert status
    return status.pid


def kill(directory: Path) -> None:
    """kill -9, and wait until it is dead."""
    kill_hard(pid_of(directory))
    assert not server_runs(directory)


def failure(
    call: Callable[[], object] = embedded.ensure_server, kind: type[OctetError] = ServerFailed
) -> str:
    """The one line that `call` fails with."""
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def log_of(directory: Path) -> Path:
    """The file that the server appends to."""
    return max((directory / "appendonlydir").glob("*.incr.aof"))


def lose_power(directory: Path, kept: bytes) -> None:
    """The machine stops; of the log only `kept` had reached the disk."""
    kill(directory)
    log_of(directory).write_bytes(kept)
