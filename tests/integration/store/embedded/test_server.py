"""The embedded server: started once, kept private, stopped with care, refused in words."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from tests.integration.store.conftest import Only
from tests.integration.store.embedded_server import (
    failure,
    kill,
    pid_of,
)
from tests.support.redis_fixtures import stop_hard, wait_for

from octet.base.errors import Refused, StoreUnreachable
from octet.store import embedded
from octet.store.connection import connect, translate_errors

MOUNT, UMOUNT = (shutil.which(name) or name for name in ("mount", "umount"))


def test_asked_again_it_is_the_same(running: Path) -> None:
    """A second call starts nothing."""
    before = pid_of(running)
    embedded.ensure_server()
    assert pid_of(running) == before


def test_status(running: Path, server_program: Path) -> None:
    """The status names process, program, socket and sizes."""
    status = embedded.read_status()
    assert status
    assert status.binary.resolve() == server_program.resolve()
    assert status.socket.is_socket()
    assert status.family in server_program.name
    assert status.memory_bytes > 0
    assert status.clients == 0
    assert json.loads((running / "redis.json").read_text())["family"] == status.family


@pytest.mark.usefixtures("embedded_home")
def test_nothing_runs() -> None:
    """Status and stop of a server that never ran make no file."""
    assert embedded.read_status() is None
    assert embedded.stop_server() is False
    assert embedded.stop_when_unused() is False
    embedded.flush_to_disk()
    assert not embedded.data_stamps()
    assert not embedded.server_directory().exists()


@pytest.mark.parametrize("name", ["x" * 150, "ö ä?#%41&=" * 3], ids=["long", "odd"])
def test_any_path(
    embedded_home: Path,
    only: Only,
    server_program: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """A home whose path is too long for a socket, or full of a URL's own characters, works."""
    only(server_program)
    monkeypatch.setenv("OCTET_HOME", str(embedded_home / name))
    try:
        embedded.ensure_server()
        with connect(None) as client:
            client.set("a", "1")
        with connect(embedded.server_url()) as client:
            assert client.get("a") == "1"
    finally:
        embedded.stop_server(force=True)


def test_homes_are_apart(embedded_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two homes have two servers that know nothing of each other."""
    urls = []
    for name in ("one", "two"):
        monkeypatch.setenv("OCTET_HOME", str(embedded_home / name))
        urls.append(embedded.ensure_server())
        with connect(None) as client:
            assert client.dbsize() == 0
            client.set("a", name)
    for name in ("one", "two"):
        assert embedded.stop_server(embedded_home / name / "redis", force=True)
    assert urls[0] != urls[1]


def test_relative_home(embedded_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative OCTET_HOME names one server, whatever the directory changes to afterwards."""
    monkeypatch.chdir(embedded_home)
    monkeypatch.setenv("OCTET_HOME", "here")
    directory = embedded.server_directory()
    with connect(None) as client:
        client.set("a", "1")
        monkeypatch.chdir("/")
        kill(directory)
        assert client.get("a") == "1"
    assert embedded.stop_server(directory)


def test_client_revives_its_server(running: Path) -> None:
    """A client finds its server dead, starts it, and has its data."""
    with connect(None) as client:
        client.set("a", "1")
        kill(running)
        assert client.get("a") == "1"


def test_stale_pid_of_a_stranger(running: Path) -> None:
    """A foreign process with the dead server's pid is neither taken for the server nor killed."""
    kill(running)
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        (running / "redis.pid").write_text(f"{stranger.pid}\n")
        assert embedded.read_status() is None
        assert embedded.stop_server(force=True) is False
        embedded.ensure_server()
        assert pid_of(running) != stranger.pid
        assert embedded.stop_server(force=True)
        assert stranger.poll() is None
        stranger.kill()


def test_deleted_socket_starts_no_second_server(running: Path) -> None:
    """With its socket gone, a living server is not doubled on the same file; forced to end, it
    comes back with its data.
    """
    with connect(None) as client:
        client.set("a", "1")
    pid = pid_of(running)
    (running / "redis.sock").unlink()
    assert f"pid {pid}" in failure(lambda: embedded.ensure_server(deadline_s=0.3))
    assert "does not answer" in failure(embedded.stop_server)
    assert embedded.stop_server(force=True)
    with connect(None) as client:
        assert client.get("a") == "1"


def test_hung_server(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped process is called by its pid within the deadline, and only --force ends it."""
    monkeypatch.setattr("octet.store.embedded.connection.ANSWER_S", 0.1)
    pid = pid_of(running)
    stop_hard(pid)
    assert f"pid {pid}" in failure(lambda: embedded.ensure_server(deadline_s=0.1))
    assert "--force" in failure(embedded.stop_server)
    assert embedded.stop_server(force=True)


def test_server_of_another_host(running: Path) -> None:
    """A home shared by two machines is called that, and no process of this one is killed for it."""
    written = json.loads((running / "redis.json").read_text())
    (running / "redis.json").write_text(json.dumps(written | {"host": "elsewhere"}))
    pid = pid_of(running)
    (running / "redis.sock").rename(running / "moved")
    assert "runs on elsewhere" in failure(lambda: embedded.ensure_server(deadline_s=0.1))
    assert "elsewhere" in failure(lambda: embedded.stop_server(force=True))
    (running / "moved").rename(running / "redis.sock")
    assert pid_of(running) == pid


@pytest.mark.usefixtures("running")
def test_stop_spares_others() -> None:
    """A server in use is stopped by force only, and comes back with its data."""
    with connect(None, name="somebody") as client:
        client.set("a", "1")
        assert "somebody" in failure(embedded.stop_server, Refused)
        assert embedded.stop_when_unused() is False
        assert embedded.stop_server(force=True)
    with connect(None) as client:
        assert client.get("a") == "1"
    assert embedded.stop_when_unused() is True
    assert embedded.read_status() is None


@pytest.mark.usefixtures("running")
def test_flush() -> None:
    """What was written can be made to survive a power failure while the server goes on."""
    with connect(None) as client:
        client.set("a", "1")
        embedded.flush_to_disk()
        assert client.get("a") == "1"


@pytest.mark.usefixtures("running")
def test_what_is_written_shows() -> None:
    """A write changes what the files look like from outside, a read does not."""
    with connect(None) as client:
        client.set("a", "1")
        before = embedded.data_stamps()
        assert client.get("a") == "1"
        assert embedded.data_stamps() == before
        client.set("a", "2")
        assert embedded.data_stamps() != before


def test_home_is_a_file(embedded_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that is no directory ends in a line with its name."""
    (embedded_home / "file").touch()
    monkeypatch.setenv("OCTET_HOME", str(embedded_home / "file"))
    assert str(embedded_home / "file") in failure()


@pytest.fixture
def small_disk(short_directory: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    disk = short_directory / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        [MOUNT, "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", disk],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    yield disk
    subprocess.run([UMOUNT, "-l", disk], check=True)


def remount(disk: Path, mode: str) -> None:
    """Make a file system "ro" or "rw"; a process that has just died may hold it for a moment."""
    command = [str(MOUNT), "-o", f"remount,{mode}", str(disk)]
    wait_for(
        lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0,
        f"{disk} is {mode}",
    )


@pytest.mark.usefixtures("embedded_home")
def test_read_only_disk(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only home ends in a line that says so, before and after a server was there."""
    monkeypatch.setenv("OCTET_HOME", str(small_disk / "octet"))
    remount(small_disk, "ro")
    assert "Read-only" in failure()
    remount(small_disk, "rw")
    embedded.ensure_server()
    assert embedded.stop_server()
    remount(small_disk, "ro")
    assert "Read-only" in failure()


def fill_up(disk: Path) -> None:
    """Leave no byte free."""
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        try:
            while ballast.write(b"x" * 512):
                pass
        except OSError:
            return


@pytest.mark.usefixtures("embedded_home")
def test_full_disk_at_start(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk ends in a line that says so."""
    monkeypatch.setenv("OCTET_HOME", str(small_disk / "octet"))
    (small_disk / "octet").mkdir()
    fill_up(small_disk)
    assert "space" in failure()


@pytest.mark.usefixtures("embedded_home")
def test_disk_fills_while_it_runs(
    small_disk: Path, only: Only, server_program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk writes are refused with a line that says so, nothing acknowledged is lost, and
    space alone heals it.
    """
    only(server_program)
    monkeypatch.setenv("OCTET_HOME", str(small_disk / "octet"))
    directory = embedded.server_directory()
    acknowledged = 0

    def write_on() -> None:
        nonlocal acknowledged
        while True:
            with translate_errors(client):
                client.rpush("l", "x" * 1000)
                acknowledged += 1

    with connect(None) as client:
        fill_up(small_disk)
        assert "free space" in failure(write_on, StoreUnreachable)
        (small_disk / "ballast").unlink()

        def heals() -> bool:
            try:
                return bool(client.set("healed", "1"))
            except redis.RedisError:
                return False

        wait_for(heals, "writes are taken again")
        kill(directory)
        assert acknowledged <= client.llen("l") <= acknowledged + 1
        assert client.get("healed") == "1"
    assert embedded.stop_server(directory)


def test_the_fsync_policy(running: Path) -> None:
    """`always` holds at once and after the next start; so does going back."""
    for policy, setting in (("always", "always"), ("everysec", "no")):
        embedded.set_fsync_policy(policy)
        for _ in range(2):
            with connect(None) as client:
                assert client.config_get("appendfsync")["appendfsync"] == setting
            kill(running)
        assert embedded.fsync_policy() == policy
