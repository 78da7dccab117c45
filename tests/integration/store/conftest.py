"""A running embedded server, and servers of a test's own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.redis_fixtures import (
    Server,
    find_program,
)

from octet.base.errors import StoreUnreachable
from octet.store import embedded
from octet.store.connection import open_client, translate_errors
from octet.store.embedded import program

StartServer = Callable[..., Server]
Only = Callable[..., None]


@pytest.fixture
def only(short_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Only:
    """`only(path, …)`: these are the programs of this machine; no other is on PATH, none in a
    wheel.
    """
    monkeypatch.setattr(program, "carried_program", lambda: None)

    def use(*paths: Path) -> None:
        shutil.rmtree(short_directory / "bin", ignore_errors=True)
        (short_directory / "bin").mkdir()
        for path in paths:
            (short_directory / "bin" / path.name).symlink_to(path)
        monkeypatch.setenv("PATH", str(short_directory / "bin"))

    return use


@pytest.fixture
def running(embedded_home: Path, only: Only, server_program: Path) -> Path:
    """The directory of a running embedded server, once for each program."""
    assert embedded_home.is_dir()
    only(server_program)
    embedded.ensure_server()
    return embedded.server_directory()


@pytest.fixture
def start_server(short_directory: Path) -> Iterator[StartServer]:
    """Starts servers of the test's own: `start_server("--maxmemory", "1mb")`."""
    started: list[Server] = []

    def start(*settings: str, config: str = "") -> Server:
        home = short_directory / str(len(started))
        home.mkdir()
        started.append(Server(find_program("redis"), home, *settings, config=config).start())
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def other_program(server_program: Path) -> Path:
    """A server of the other family; asked for before `running` narrows PATH."""
    return find_program("valkey" if "redis" in server_program.name else "redis")


def failure(url: str, *command: str, answer_s: float = 5.0) -> str:
    """The one line that a failing command ends in."""
    with (
        pytest.raises(StoreUnreachable) as caught,
        open_client(url, answer_s=answer_s) as client,
        translate_errors(client),
    ):
        client.execute_command(*(command or ("SET", "a", "1")))
    line = str(caught.value)
    assert "\n" not in line
    return line
