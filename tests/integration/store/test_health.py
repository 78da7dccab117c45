"""Servers with others' settings: what the first command says, and what `octet doctor` finds where
every command still works.
"""

from __future__ import annotations

import http.server
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.redis_fixtures import Server, wait_for

from octet.base.errors import StoreUnreachable
from octet.client.api import Octet
from octet.store.connection import connect, open_client
from octet.store.embedded.connection import ServerConnection
from octet.store.health import COMMANDS, Trouble, examine
from octet.store.keys import Keys
from octet.store.script_files import load_script, script_names
from octet.store.scripts import Store

StartServer = Callable[..., Server]


@pytest.fixture
def start_server(short_directory: Path, server_program: Path) -> Iterator[StartServer]:
    """Starts servers of the test's own, of each family: `start_server("--maxmemory", "1mb")`."""
    started: list[Server] = []

    def start(*settings: str, config: str = "") -> Server:
        home = short_directory / str(len(started))
        home.mkdir()
        started.append(Server(server_program, home, *settings, config=config).start())
        return started[-1]

    yield start
    for server in started:
        server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def first_command(url: str) -> str:
    """The one line that a project's first command ends with."""
    with pytest.raises(StoreUnreachable) as caught, Octet(connect(url), "p") as octet:
        octet.tasks.add("x")
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    return str(caught.value)


def troubles(url: str) -> dict[str, Trouble]:
    found = {}
    with open_client(url) as client, suppress(StoreUnreachable):
        for trouble in examine(Store(client, Keys("p"))):
            found[trouble.subject] = trouble
    return found


@pytest.mark.parametrize(
    ("command", "works"),
    [
        ("EVALSHA", False),
        ("INFO", False),
        ("CLIENT", False),
        ("SCRIPT", True),
        ("CONFIG", True),
        ("SCAN", True),
    ],
)
def test_renamed_commands(start_server: StartServer, command: str, works: bool) -> None:
    """A command that was taken out by rename-command is named, where it is needed at all."""
    own = start_server(config=f'rename-command {command} ""\n')
    if works:
        with Octet(connect(own.url), "p") as octet:
            assert octet.tasks.add("x").id == "1"
    else:
        line = first_command(own.url)
        assert f"({command})" in line
        assert "rename-command" in line


def test_max_clients(start_server: StartServer) -> None:
    """A server without a free connection is called that, whether its answer was read or the
    connection was gone before.
    """
    own = start_server("--maxclients", "1")
    with open_client(own.url) as other:
        other.ping()
        assert "maxclients" in first_command(own.url)


def test_somebodys_long_script(start_server: StartServer) -> None:
    """The line says what ends it, and once it has ended everything works again."""
    own = start_server("--lua-time-limit", "20")

    def spin() -> None:
        with open_client(own.url, answer_s=30) as client, pytest.raises(Exception, match="killed"):
            client.eval("while true do end", 0)

    thread = threading.Thread(target=spin)
    thread.start()
    lines: list[str] = []

    def is_busy() -> bool:
        try:
            with Octet(connect(own.url), "p") as octet:
                octet.tasks.add("x")
        except StoreUnreachable as error:
            lines.append(str(error))
        return bool(lines)

    wait_for(is_busy, "the script runs")
    assert "SCRIPT KILL" in lines[0]
    with ServerConnection(str(own.socket)) as line:
        assert line.ask("SCRIPT KILL") == "+OK"
    thread.join()
    with Octet(connect(own.url), "p") as octet:
        octet.tasks.add("x")


def test_idle_connections_are_closed(start_server: StartServer) -> None:
    """`timeout 1`: a connection that the server closed meanwhile costs nothing but a new one."""
    own = start_server("--timeout", "1")
    with Octet(connect(own.url), "p") as octet:
        octet.tasks.add("x")
        with open_client(own.url) as watcher:
            wait_for(lambda: len(watcher.client_list()) == 1, "the idle connection is closed")
        assert octet.tasks.add("y").id == "2"


def test_kinds_of_server_mistaken(start_server: StartServer) -> None:
    """A Sentinel, a plain server and a cluster's node, each by another's kind of URL, are told what
    to write.
    """
    sentinel, plain = free_port(), free_port()
    start_server(
        "--sentinel",
        "--port",
        str(sentinel),
        "--bind",
        "127.0.0.1",
        config="sentinel monitor main 127.0.0.1 1 1\n",
    )
    start_server("--port", str(plain), "--bind", "127.0.0.1")
    assert "redis+sentinel://" in first_command(f"redis://127.0.0.1:{sentinel}")
    assert "redis://host:port" in first_command(f"redis+sentinel://127.0.0.1:{plain}/main")
    assert "redis://" in first_command(f"redis+cluster://127.0.0.1:{plain}")
    assert "cluster" in first_command(start_server("--cluster-enabled", "yes").url)


def test_a_web_server() -> None:
    """The URL of something else is recognised as no Redis."""
    web = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0),
        type("Quiet", (http.server.BaseHTTPRequestHandler,), {"log_message": print}),
    )
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    try:
        assert "does not speak the Redis protocol" in first_command(
            f"redis://127.0.0.1:{web.server_port}"
        )
    finally:
        web.shutdown()
        thread.join()
        web.server_close()


def test_a_user_without_every_right(start_server: StartServer) -> None:
    """The first command says that a right is missing; examined, each missing one is named."""
    own = start_server()
    rights = {
        "-hset -zadd": ({"hset", "zadd"}, "octet doctor|'hset'|'zadd'"),
        "-evalsha": ({"evalsha"}, "'evalsha'"),
        "-@all +info +client +ping": ({"set"}, "'evalsha'"),
    }
    for words, (missing, line) in rights.items():
        with open_client(own.url) as admin:
            admin.execute_command(
                "ACL", "SETUSER", "u", "reset", "on", ">x", "~*", "&*", "+@all", *words.split()
            )
        url = f"unix://u:x@{own.socket}"
        assert re.search(line, first_command(url))
        found = troubles(url)["rights"]
        assert found.grave
        assert missing <= set(re.findall(r"\w+", found.what))
    with open_client(own.url) as admin:
        admin.execute_command("ACL", "SETUSER", "u", "reset", "on", ">x", "~foo", "&*", "+@all")
        assert "keys" in troubles(url)["rights"].what
        admin.execute_command(
            "ACL", "SETUSER", "u", "reset", "on", ">x", "~*", "resetchannels", "+@all"
        )
        assert "channels" in troubles(url)["rights"].what
        admin.execute_command(
            "ACL", "SETUSER", "u", "reset", "on", ">x", "~workflow:{p}:*", "&workflow:*", "+@all"
        )
        assert "rights" not in troubles(url)
        assert admin.keys("*doctor*") == []


def test_every_command_that_is_sent_is_tried() -> None:
    """Those of the scripts and those of the library."""
    tried = {words.split()[0] for words in COMMANDS} | {"SET"}
    texts = [load_script(name).text for name in script_names()]
    called = {
        name.upper() for text in texts for name in re.findall(r"redis\.p?call\(\s*'(\w+)'", text)
    }
    assert called - tried == set()


@pytest.mark.parametrize(
    ("settings", "subject", "grave", "what"),
    [
        (
            ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"],
            "eviction",
            True,
            "noeviction",
        ),
        (["--maxmemory-policy", "allkeys-lru"], "eviction", False, "noeviction"),
        (["--maxmemory", "1mb"], "memory", True, "maxmemory"),
        ([], "disk", True, "appendonly yes"),
        (["--save", "900 1"], "disk", False, "appendonly yes"),
        (["--appendonly", "yes"], "disk", False, "last second"),
        (["--replicaof", "127.0.0.1", "1"], "role", True, "primary|127.0.0.1:1"),
        ([], "expiry", False, "notify-keyspace-events"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_settings_that_hurt(
    start_server: StartServer, settings: list[str], subject: str, grave: bool, what: str
) -> None:
    """Each is found, with what to do."""
    found = troubles(start_server(*settings).url)
    assert found[subject].grave is grave
    assert re.search(what, found[subject].what)


@pytest.mark.usefixtures("embedded_home")
def test_a_server_of_our_own_has_no_trouble() -> None:
    """The embedded server's settings are those that are asked of others."""
    with connect(None) as client:
        assert [trouble for trouble in examine(Store(client, Keys("p"))) if trouble.grave] == []
