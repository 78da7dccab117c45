"""Every script, run through the library on fakeredis and on the real servers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.lua.life import live, noted
from tests.support import lua_source as source
from tests.support.redis_fixtures import Server, wait_for
from tests.support.store_fixtures import contradictions, snapshot

from octet.base.errors import StaleToken, StoreUnreachable
from octet.client.api import Octet
from octet.core.tasks.verdicts import NewRecord
from octet.store.connection import open_client
from octet.store.script_files import load_script


def test_a_whole_life(any_octet: Octet) -> None:
    """Every script runs, with as many KEYS and ARGV as it declares, of the types declared, all with
    the project's tag.
    """
    with noted(any_octet) as calls:
        live(any_octet)
    names = {load_script(name).sha: name for name in source.NAMES}
    assert {names[call[1]] for call in calls} == set(source.NAMES)
    for _, sha, count, *rest in calls:
        signature, keys, args = load_script(names[sha]).signature, rest[:count], rest[count:]
        assert count == len(signature.keys)
        fixed = len(signature.channels) + len(signature.args)
        assert len(args) == fixed or (signature.rest and len(args) > fixed)
        for declared, key in zip(signature.keys, keys, strict=True):
            assert key.startswith("workflow:{p}:")
            assert key.endswith(":") == declared.prefix or key.endswith("session:")
            found = any_octet.store.client.type(key)
            assert found == "none" or (found == declared.type.lower() and not declared.prefix)
    assert contradictions(any_octet) == []


def test_scripts_survive_a_flush_of_their_cache(any_octet: Octet) -> None:
    """A restarted server knows no script; the next call brings it, heartbeats in a pipeline too."""
    developer = live(any_octet)
    any_octet.store.client.script_flush()
    assert list(any_octet.agents.heartbeat([developer, developer])) == [True, True]
    any_octet.store.client.script_flush()
    assert any_octet.tasks.claim(developer).holder == developer.id


StartServer = Callable[..., Server]


@pytest.fixture
def start_server(short_directory: Path, server_program: Path) -> Iterator[StartServer]:
    started: list[Server] = []

    def start(*settings: str) -> Server:
        started.append(Server(server_program, short_directory, *settings).start())
        return started[-1]

    yield start
    for server in started:
        server.kill()


def test_all_keys_share_a_slot(start_server: StartServer) -> None:
    """The library lives its whole life on a cluster's node, which refuses other slots' keys."""
    port = free_port()
    server = start_server(
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        str(free_port()),
    )
    with open_client(server.url) as node:
        node.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
        wait_for(
            lambda: "cluster_state:ok" in str(node.execute_command("CLUSTER", "INFO")),
            "the cluster is up",
        )
        with (
            open_client(f"redis+cluster://127.0.0.1:{port}") as client,
            Octet(client, "p") as octet,
        ):
            live(octet)
            listen(octet)
        slots = {node.execute_command("CLUSTER", "KEYSLOT", key) for key in node.scan_iter()}
        assert slots == {node.execute_command("CLUSTER", "KEYSLOT", "{p}")}


# A pattern may be subscribed to only where the user was granted the same one, not a wider one.
CHANNELS = ("&workflow:*", "&workflow:{p}:events:*")


def listen(octet: Octet) -> None:
    """All that waits, follows or walks the keyspace."""
    assert octet.counter("c").wait(1, wait_s=20) > 1
    thread = threading.Timer(0.1, octet.kv.put, ["late", 1])
    thread.start()
    assert octet.kv.wait("late", wait_s=20) == 1
    thread.join()
    assert [message.key for message in octet.kv.list()] == ["k", "late"]
    assert next(octet.events.follow("0")).id == next(octet.events.replay("0")).id
    assert "c" in octet.names("counter")


def test_a_restricted_user_suffices(start_server: StartServer) -> None:
    """A user with the project's keys and channels and without @dangerous lives the whole life."""
    server = start_server()
    with open_client(server.url) as admin:
        admin.execute_command(
            "ACL", "SETUSER", "crew", "on", ">pw", "~workflow:*", *CHANNELS, "+@all", "-@dangerous"
        )
    with (
        open_client(server.url.replace("unix://", "unix://crew:pw@")) as client,
        Octet(client, "p") as octet,
    ):
        live(octet)
        listen(octet)


def test_a_user_without_channels_loses_no_step(start_server: StartServer) -> None:
    """Redis gives new ACL users no channel: every transition is whole and logged all the same, and
    a watcher is told why it sees none.
    """
    server = start_server()
    with open_client(server.url) as admin:
        admin.execute_command(
            "ACL",
            "SETUSER",
            "mute",
            "on",
            ">pw",
            "~workflow:*",
            "resetchannels",
            "+@all",
            "-@dangerous",
        )
    with (
        open_client(server.url.replace("unix://", "unix://mute:pw@")) as client,
        Octet(client, "p") as octet,
    ):
        live(octet)
        assert octet.events.log(1)[0].type == "lock_acquired"
        with pytest.raises(StoreUnreachable, match="ACL SETUSER"):
            next(octet.events.watch("*", timeout_s=5))
    with open_client(server.url) as admin, Octet(admin, "p") as octet:
        assert contradictions(octet) == []


def test_a_stale_token_changes_nothing(any_octet: Octet) -> None:
    """Every refused write leaves every key as it was."""
    developer = live(any_octet)
    task = any_octet.tasks.held_by(developer.id)[0]
    any_octet.tasks.release(task.id, task.token)
    again = any_octet.tasks.claim(developer)
    lock = any_octet.locks.acquire(developer, ["path:x"])["path:x"]
    before = snapshot(any_octet.store.client)
    tasks = any_octet.tasks
    for token in (task.token, "", "0", "*", "999999", lock, " " + again.token, again.token + "0"):
        for call in (
            lambda token: tasks.progress(again.id, token, 1),
            lambda token: tasks.submit(again.id, token, branch="b"),
            lambda token: tasks.complete(again.id, token),
            lambda token: tasks.fail(again.id, token, "why"),
            lambda token: tasks.release(again.id, token),
            lambda token: tasks.send_back(again.id, token, "why", record=NewRecord("changes")),
            lambda token: tasks.pass_on(again.id, token, record=NewRecord("approve")),
            lambda token: tasks.renew(
                again.id, agent=developer, token=token or "0", branch="b", commit="d"
            ),
            lambda token: any_octet.locks.release(
                "path:x", token if token != lock else again.token
            ),
        ):
            with pytest.raises(StaleToken):
                call(token)
    assert snapshot(any_octet.store.client) == before


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
