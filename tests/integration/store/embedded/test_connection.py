"""The connection without a Redis client: whether a server answers, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.redis_fixtures import wait_for
from tests.support.scripted_redis import ScriptedRedis

from octet.store.connection import connect
from octet.store.embedded.connection import Answer, ServerConnection, ping
from octet.store.embedded.launch import server_runs

LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"
FULL_DISK = b"-MISCONF Errors writing to the AOF file\r\n"


def socket_of(directory: Path) -> str:
    return str(directory / "redis.sock")


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (b"+PONG\r\n", Answer.UP),
        (LOADING, Answer.LOADING),
        (FULL_DISK, Answer.UP),
        (b"", Answer.NONE),
    ],
)
def test_ping(short_directory: Path, reply: bytes, answer: Answer) -> None:
    """Any reply but LOADING is an answer, an error too; a cut connection is none."""
    path = short_directory / "s"
    with ScriptedRedis(path, lambda _: b"", lambda _: reply):
        assert ping(str(path)) is answer
    assert ping(str(short_directory / "nothing")) is Answer.NONE


def test_other_clients(running: Path) -> None:
    """The connection that asks is not listed; names and idle times are."""
    with ServerConnection(socket_of(running)) as connection:
        assert connection.other_clients() == []
        with connect(None, name="another") as client:
            client.ping()
            (found,) = connection.other_clients()
        assert found["name"] == "another"
        assert found["idle"].isdigit()
        assert connection.info()["process_id"].isdigit()


def test_errors_come_as_text(running: Path) -> None:
    """A refused command is a reply with its dash."""
    with ServerConnection(socket_of(running)) as connection:
        assert connection.ask("CONFIG SET nothing 1").startswith("-ERR")
        assert connection.ask("SET k v") == "+OK"
        assert connection.ask("GET k") == "v"


def test_shut_down(running: Path) -> None:
    """A server that ends gives no answer, and that is the answer."""
    with ServerConnection(socket_of(running)) as connection:
        connection.shut_down()
    wait_for(lambda: not server_runs(running), "the server has ended")
