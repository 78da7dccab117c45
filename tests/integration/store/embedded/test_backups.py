"""Backups: made while the server runs, tried before they count, and given back to a server."""

from __future__ import annotations

import socket
import stat
import subprocess
from pathlib import Path

import pytest
from tests.support.redis_fixtures import PS, Server
from tests.support.store_fixtures import join

from octet.base.errors import Refused, StaleToken
from octet.client.api import Octet
from octet.store.connection import connect, open_client
from octet.store.embedded import backups
from octet.store.embedded.aof import scan
from octet.store.embedded.launch import server_runs


def test_a_backup_while_it_is_written_to(running: Path) -> None:
    """All that was acknowledged before is in it; it is private, whole, and comes back."""
    target = running.parent / "b.aof"
    with connect(None) as client:
        for n in range(500):
            client.set(f"k{n}", "v" * 100)
        client.bgrewriteaof()  # the files are replaced while they are copied
        client.execute_command(
            "EVAL", "redis.call('INCR', KEYS[1]) redis.call('INCR', KEYS[1])", 1, "n"
        )
        made = backups.write_backup(target)
        assert (made.keys, stat.S_IMODE(target.stat().st_mode)) == (501, 0o600)
        client.flushall()
        client.set("later", "1")
    found = backups.restore(target)
    assert found.keys == 501
    with connect(None) as client:
        assert (client.dbsize(), client.get("n"), client.get("later")) == (501, "2", None)
    assert b"later" in b"".join(file.read_bytes() for file in Path(found.kept).iterdir())
    assert sorted(path.name for path in running.iterdir() if path.is_dir()) == [
        "appendonlydir",
        Path(found.kept).name,
    ]


@pytest.mark.usefixtures("running")
def test_an_existing_file_is_not_written_over(tmp_path: Path) -> None:
    """Nor is a link followed, nor anything left where it cannot be written."""
    (tmp_path / "there").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "link"):
        with pytest.raises(Refused, match="exists"):
            backups.write_backup(tmp_path / name)
    assert (tmp_path / "there").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "there"]


def test_living_agents_keep_their_data(running: Path) -> None:
    """Nothing is restored under agents that live, unless it is forced; and then no token of theirs
    is valid or given again.
    """
    target = running.parent / "b.aof"
    with Octet(connect(None), "p") as octet:
        task = octet.tasks.add("x")
        backups.write_backup(target)
        agent = join(octet)
        claimed = octet.tasks.claim(agent)
        with pytest.raises(Refused, match=agent.id):
            backups.restore(target)
        backups.restore(target, force=True)
        again = octet.tasks.claim(join(octet))
        assert again.id == task.id
        assert int(again.token) > int(claimed.token)
        with pytest.raises(StaleToken):
            octet.tasks.complete(claimed.id, claimed.token)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"REDIS0011" + bytes(90), b"*1\r\n$4\r\nPING", b"*1\r\n$7\r\nNONSENS\r\n"],
)
def test_what_is_no_backup(running: Path, tmp_path: Path, content: bytes) -> None:
    """It is refused, and what was there stays, with its server."""
    with connect(None) as client:
        client.set("a", "1")
        (tmp_path / "b").write_bytes(content)
        with pytest.raises(Exception, match="backup") as caught:
            backups.restore(tmp_path / "b")
        assert getattr(caught.value, "exit_code", 0) == 2
        assert client.get("a") == "1"
    assert not (running / "restored").exists()


def test_a_server_that_tried_a_backup_does_not_stay(
    running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill while a backup is tried, the next backup ends the server that was left."""
    pids = []
    with connect(None) as client:
        client.set("a", "1")

    def die(*_: object) -> None:
        pids.append(int((running / "checked" / "redis.pid").read_text()))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(backups, "_end", die)
        patch.setattr("shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            backups.write_backup(running.parent / "b.aof")
    assert server_runs(running / "checked")
    backups.write_backup(running.parent / "b.aof")
    assert not (running / "checked").exists()
    state = [PS, "-o", "stat=", "-p", str(pids[0])]
    found = subprocess.run(state, capture_output=True, text=True, check=False).stdout.strip()
    assert found[:1] in ("", "Z")  # gone, or a zombie; flags such as a low priority may follow


def test_a_backup_goes_to_another_server(
    other_program: Path, running: Path, short_directory: Path
) -> None:
    """It is plain commands: any Redis or Valkey takes them."""
    with connect(None) as client:
        client.set("a", "1")
    made = backups.write_backup(running.parent / "b.aof")
    assert scan(Path(made.path)).intact
    (short_directory / "other").mkdir()
    other = Server(other_program, short_directory / "other").start()
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(other.socket))
            link.sendall(Path(made.path).read_bytes())
            link.shutdown(socket.SHUT_WR)
            while link.recv(4096):
                pass
        with open_client(other.url) as client:
            assert client.get("a") == "1"
    finally:
        other.kill()
