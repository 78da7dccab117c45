"""`octet redis url|cli|stop`, as a person or a script runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.redis_fixtures import find_program

from octet.cli.redis import cli_arguments
from octet.store import embedded
from octet.store.address import parse_address
from octet.store.connection import connect

Octet = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def octet(embedded_home: Path, monkeypatch: pytest.MonkeyPatch) -> Octet:
    """Runs the command line in a home of its own; no redis-cli is on PATH but by `link`."""
    tools = embedded_home / "bin"
    tools.mkdir()
    binary = find_program("redis")
    (tools / binary.name).symlink_to(binary)
    monkeypatch.setenv("PATH", str(tools))
    package = str(Path(embedded.__file__).parents[3])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([package, os.environ.get("PYTHONPATH", "")]))

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from octet.cli import main; main()", *arguments]
        done = subprocess.run(
            command,
            cwd=embedded_home,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stderr.count("\n") <= 1
        return done

    return run


REDIS_CLI = shutil.which("redis-cli")  # before a test narrows PATH


def test_url_starts_the_server(octet: Octet) -> None:
    """The URL printed is one that a client can connect to at once."""
    with connect(octet("redis", "url").stdout.strip()) as client:
        assert client.ping()


def test_url_as_json(octet: Octet) -> None:
    """JSON adds what redis-cli needs, and whether the server is our own."""
    facts = json.loads(octet("redis", "url", "--json").stdout)
    assert facts["embedded"] is True
    assert facts["redis_cli"] == ["-s", facts["socket"]]
    facts = json.loads(octet("--redis", "redis://db:1/2", "redis", "url", "--json").stdout)
    assert facts == {
        "url": "redis://db:1/2",
        "embedded": False,
        "socket": None,
        "redis_cli": ["-h", "db", "-p", "1", "-n", "2"],
    }


def test_cli_without_redis_cli(octet: Octet) -> None:
    """One command runs even where redis-cli is missing; its reply comes as redis-cli prints it into
    a pipe.
    """
    assert octet("redis", "cli", "RPUSH", "l", "one", "two", "--json").stdout == "3\n"
    assert octet("redis", "cli", "LRANGE", "l", "0", "-1").stdout == "one\ntwo\n--json\n"
    assert octet("redis", "cli", "GET", "nothing").stdout == "\n"
    assert json.loads(octet("redis", "cli", "--json", "LRANGE", "l", "0", "0").stdout) == ["one"]
    assert octet("redis", "cli", "--json", "GET", "nothing").stdout == "null\n"


def test_cli_refusals(octet: Octet) -> None:
    """An error of the server is 1, no command 2, no server 3, each in one line."""
    octet("redis", "cli", "NONSENSE", code=1)
    octet("redis", "cli", code=2)
    octet("redis", "cli", "--json", code=2)
    octet("--redis", "unix:///nowhere/s", "redis", "cli", "PING", code=3)
    octet("--redis", "db", "redis", "url", code=2)


@pytest.mark.skipif(not REDIS_CLI, reason="needs redis-cli")
def test_cli_becomes_redis_cli(octet: Octet, embedded_home: Path) -> None:
    """With redis-cli on PATH it is what runs, on our server, with all its own options."""
    assert REDIS_CLI
    (embedded_home / "bin" / "redis-cli").symlink_to(REDIS_CLI)
    octet("redis", "cli", "SET", "a", "1")
    assert octet("redis", "cli", "--no-raw", "GET", "a").stdout == '"1"\n'


def test_password_is_not_in_argv() -> None:
    """redis-cli gets user, database and TLS as options and the password in its environment."""
    words, secret = cli_arguments(parse_address("rediss://me:s3cret@db/3?ssl_ca_certs=/ca.pem"))
    assert words == [
        "-h",
        "db",
        "-p",
        "6379",
        "-n",
        "3",
        "--user",
        "me",
        "--tls",
        "--cacert",
        "/ca.pem",
    ]
    assert secret["REDISCLI_AUTH"] == "s3cret"


def test_stop(octet: Octet) -> None:
    """Stop refuses under a client, obeys --force, and says when nothing ran; the data stays."""
    octet("redis", "cli", "SET", "a", "1")
    with connect(None, name="somebody") as client:
        client.ping()
        assert "somebody" in octet("redis", "stop", code=1).stderr
        assert json.loads(octet("redis", "stop", "--force", "--json").stdout) == {"stopped": True}
    assert json.loads(octet("redis", "stop", "--json").stdout) == {"stopped": False}
    assert octet("redis", "cli", "GET", "a").stdout == "1\n"
