"""`octet redis backup|restore|repair|fsync`, and what `octet doctor` says of server settings."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Shop
from tests.support.redis_fixtures import Server, find_program

import octet as package
from octet.store import embedded
from octet.store.connection import connect

Octet = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def octet(embedded_home: Path, monkeypatch: pytest.MonkeyPatch) -> Octet:
    """Runs the command line in a home of its own, whose server is Redis."""
    binary = find_program("redis")
    (embedded_home / "bin").mkdir()
    (embedded_home / "bin" / binary.name).symlink_to(binary)
    monkeypatch.setenv("PATH", str(embedded_home / "bin"))

    def run(*arguments: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        env = os.environ | {"PYTHONPATH": str(Path(package.__file__).parents[1])}
        command = [sys.executable, "-m", "octet", *arguments]
        done = subprocess.run(
            command,
            cwd=embedded_home,
            env=env,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def test_there_and_back(octet: Octet, embedded_home: Path) -> None:
    """A backup is made, tried and restored; without an answer nothing is."""
    with connect(None) as client:
        client.set("a", "1")
        made = json.loads(octet("redis", "backup", "--json").stdout)
        assert made["keys"] == 1
        assert Path(made["path"]).parent == Path(os.environ["OCTET_HOME"]) / "backups"
        assert stat.S_IMODE(Path(made["path"]).stat().st_mode) == 0o600
        client.set("a", "2")
        assert "--yes" in octet("redis", "restore", made["path"], code=1).stderr
        octet("redis", "restore", made["path"], code=1, stdin="n\n")
        assert client.get("a") == "2"
        said = octet("redis", "restore", made["path"], stdin="y\n").stdout
        assert "restored 1 keys" in said
        assert client.get("a") == "1"
    assert "exists" in octet("redis", "backup", made["path"], code=1).stderr
    assert "cannot write" in octet("redis", "backup", "bin/redis-server/x", code=2).stderr
    octet("redis", "restore", str(embedded_home / "nothing"), "--yes", code=2)


def test_repair(octet: Octet) -> None:
    """The command that a refusal to start names mends it, after a yes."""
    with connect(None) as client:
        for n in range(9):
            client.set(f"k{n}", "v")
    embedded.stop_server()
    log = max((embedded.server_directory() / "appendonlydir").glob("*.incr.aof"))
    log.write_bytes(log.read_bytes().replace(b"k5", b"k\n$"))
    assert "`octet redis repair`" in octet("redis", "url", code=3).stderr
    assert "of appendonly" in octet("redis", "repair", code=1).stderr
    assert "damaged-" in octet("redis", "repair", "--yes").stdout
    with connect(None) as client:
        assert client.dbsize() == 5
    assert "runs" in octet("redis", "repair", "--yes", code=1).stderr


def test_fsync(octet: Octet) -> None:
    """Shown, chosen, kept."""
    assert octet("redis", "fsync").stdout == "everysec\n"
    assert json.loads(octet("redis", "fsync", "always", "--json").stdout) == {"fsync": "always"}
    assert octet("redis", "fsync").stdout == "always\n"
    octet("redis", "fsync", "never", code=2)


@pytest.mark.parametrize(
    "words", [["backup"], ["restore", "x"], ["repair"], ["fsync"]], ids=" ".join
)
def test_a_server_of_others(octet: Octet, words: list[str]) -> None:
    """What Octet does not run it does not touch; it says what to use instead."""
    line = octet("--redis", "redis://:s3cret@db:1", "redis", *words, code=1).stderr
    assert "db:1" in line
    assert "its own means" in line or "CONFIG SET" in line
    assert "s3cret" not in line


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"], "noeviction"),
        (["--replicaof", "127.0.0.1", "1"], "read-only replica"),
        (["--maxmemory", "1mb"], "maxmemory"),
        ([], "keeps nothing on disk"),
    ],
    ids=["evicts", "replica", "full", "no disk"],
)
def test_doctor_on_a_server_of_others(
    shop: Shop, short_directory: Path, settings: list[str], what: str
) -> None:
    """It ends with 1 and says what is wrong and what to do."""
    own = Server(find_program("redis"), short_directory, *settings).start()
    try:
        process = shop.start("doctor", "--json", env={"OCTET_REDIS_URL": own.url})
        out, err = process.communicate(timeout=60)
    finally:
        own.kill()
    assert (process.returncode, err) == (1, b"")
    assert any(
        what in finding["detail"] for finding in json.loads(out) if finding["ok"] is False
    ), out
