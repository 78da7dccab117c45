"""Failures of a server, each in one line that says what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import redis
from tests.integration.store.conftest import StartServer, failure
from tests.support.scripted_redis import ScriptedRedis

from octet.store.connection import (
    connect,
    open_client,
    translate_errors,
)


def test_nobody_listens(short_directory: Path) -> None:
    """A refused TCP port and a missing or stale socket are all "not running", by address."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert f"127.0.0.1:{port} is not running" in failure(f"redis://:s3cret@127.0.0.1:{port}")
    stale = short_directory / "s"
    assert f"{stale} is not running" in failure(f"unix://{stale}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(stale))
    assert f"{stale} is not running" in failure(f"unix://{stale}")


def test_unknown_host() -> None:
    """A host that does not exist is said to be unknown."""
    assert "unknown host name" in failure("redis://no-such-host.invalid")


def test_hung_server(short_directory: Path) -> None:
    """A server that accepts and never answers costs the answer time, once."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_directory / "s"))
        listener.listen()
        assert "does not answer in time" in failure(f"unix://{short_directory}/s", answer_s=0.2)


def test_something_else_listens(short_directory: Path) -> None:
    """A web server on the port is recognised as no Redis."""
    with ScriptedRedis(
        short_directory / "s", lambda _: b"", lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n"
    ) as server:
        assert "does not speak the Redis protocol" in failure(server.url)


@pytest.mark.parametrize(
    ("reply", "meaning"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "still loading"),
        (
            b"-MISCONF Errors writing to the AOF file: No space left on device\r\n",
            "cannot write to its disk",
        ),
        (b"-READONLY You can't write against a read only replica.\r\n", "read-only replica"),
        (b"-MASTERDOWN Link with MASTER is down\r\n", "lost its primary"),
        (b"-NOREPLICAS Not enough good replicas to write.\r\n", "too few replicas"),
        (
            b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL\r\n",
            "busy with another client's long script",
        ),
        (b"-CLUSTERDOWN The cluster is down\r\n", "bring its missing nodes back"),
        (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", "out of memory"),
        (b"-NOAUTH Authentication required.\r\n", "login"),
        (
            b"-WRONGPASS invalid username-password pair or user is disabled.\r\n",
            "refuses the login",
        ),
        (b"-NOPERM this user has no permissions to run the 'set' command\r\n", "'set'"),
        (b"-ERR max number of clients reached\r\n", "no free connection"),
        (
            b"-DENIED Redis is running in protected mode because no password is set\r\n",
            "protected mode",
        ),
        (b"-MOVED 1 127.0.0.1:7000\r\n", "redis+cluster://"),
        (
            b"-ERR unknown command 'EVALSHA', with args beginning with: 'x'\r\n",
            "(EVALSHA): take out its rename-command",
        ),
        (
            b"-ERR ACL failure in script: User v has no permissions to run the 'hset' "
            b"command script: x, on @user_script:1.\r\n",
            "'hset'",
        ),
        (
            b"-ERR The user executing the script can't run this command or subcommand "
            b"script: x, on @user_script:1.\r\n",
            "octet doctor",
        ),
        (b"-ERR unknown command 'XAUTOCLAIM'\r\n", "6.2 or newer"),
        (
            b"-ERR Error running script (call to f_1): @user_script:1: -READONLY You can't "
            b"write\r\n",
            "read-only replica",
        ),
        (
            b"-ERR Error running script (call to f_1): @user_script: 3: Unknown Redis "
            b"command called from Lua script\r\n",
            "6.2 or newer",
        ),
    ],
)
def test_every_refusal_has_its_line(short_directory: Path, reply: bytes, meaning: str) -> None:
    """Whatever a server answers instead of serving, the line says what it means."""
    with ScriptedRedis(short_directory / "s", lambda _: reply) as server:
        assert meaning in failure(server.url)


@pytest.mark.parametrize(
    "reply", [b"-WRONGTYPE Operation against a key\r\n", b"-ERR user_script:1: bad argument\r\n"]
)
def test_our_own_mistakes_pass_unchanged(short_directory: Path, reply: bytes) -> None:
    """An error of ours is not called "unreachable"."""
    with (
        ScriptedRedis(short_directory / "s", lambda _: reply) as server,
        open_client(server.url) as client,
        pytest.raises(redis.ResponseError),
        translate_errors(client),
    ):
        client.set("a", "1")


def test_login(start_server: StartServer) -> None:
    """A password or ACL user works from the URL; each missing, wrong or weak login has its line."""
    server = start_server()
    with open_client(server.url) as admin:
        admin.acl_setuser(
            "small", enabled=True, passwords="+pw", commands=["+ping", "+client"], keys=["*"]
        )
        admin.acl_setuser(
            "full", enabled=True, passwords="+p%/@", commands=["+@all"], keys=["*"], channels=["*"]
        )
        admin.config_set("requirepass", "s3cret")
    path = str(server.socket)
    assert "asks for a login" in failure(server.url) or "refuses the login" in failure(server.url)
    assert "refuses the login" in failure(f"unix://:wrong@{path}")
    assert "'set'" in failure(f"unix://small:pw@{path}")
    for login in (":s3cret", "full:p%25%2F%40"):
        with connect(f"unix://{login}@{path}") as client:
            assert client.set("a", "1")
    with connect(
        f"unix://small:pw@{path}"
    ) as client:  # INFO is denied and that is no reason to fail
        assert client.ping()


def test_full_memory(start_server: StartServer) -> None:
    """A server at its maxmemory says so."""
    assert "out of memory" in failure(start_server("--maxmemory", "1").url)


def test_replica(start_server: StartServer) -> None:
    """Writing to a replica says to give the primary's address, from a script too."""
    server = start_server("--replicaof", "127.0.0.1", "1", "--replica-serve-stale-data", "yes")
    assert "read-only replica" in failure(server.url)
    assert "read-only replica" in failure(
        server.url, "EVAL", "return redis.call('set', 'a', '1')", "0"
    )
