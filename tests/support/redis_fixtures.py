"""Real servers for the tests: one for each program that is here, on a unix socket in a short
directory, emptied between tests.

* `redis_url`: a test that asks for it runs once against `redis-server` and once against Valkey.
* `redis_client`: the same, as a client.
* `server_program`: once for each program, for a test that starts its own `Server`.
* `embedded_home`: an OCTET_HOME of its own, whose embedded server is gone after the test.

A program that is missing skips its half locally and fails it in CI.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from tests.support.programs import skip_or_fail
from tests.support.waiting import poll

from octet.store import embedded
from octet.store.connection import open_client
from octet.store.embedded.program import carried_program

DEADLINE_S = 20.0
PROGRAMS = ("redis", "valkey")
PS = shutil.which("ps") or "ps"  # before any test empties PATH
SESSION = dict(
    os.environ
)  # before any test has a home of its own, by which its processes are known


def find_program(family: str) -> Path:
    """`redis-server` on PATH, or Valkey's from PATH or the wheel; the test is skipped (in CI:
    failed) where it is missing.
    """
    found = shutil.which(f"{family}-server") or (carried_program() if family == "valkey" else None)
    return Path(found) if found else skip_or_fail(f"needs {family}-server")


def wait_for(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll until `condition` holds; fail with `what` when it never does."""
    poll(condition, what, deadline_s)


def kill_hard(pid: int) -> None:
    """kill -9, and wait until nothing of the process is left, threads included, but an entry that
    waits for its parent.
    """
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: is_dead(pid), f"{pid} is dead")


def is_dead(pid: int) -> bool:
    """Whether there is no such process, or only its entry."""
    command = [PS, "-o", "stat=", "-p", str(pid)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return said[:1] in {"", "Z"}  # flags may follow: of a session's leader, of a lower priority


def stop_hard(pid: int) -> None:
    """SIGSTOP, and wait until no thread of the process runs: one that does may still answer."""
    os.kill(pid, signal.SIGSTOP)
    threads = [path / "stat" for path in Path(f"/proc/{pid}/task").glob("*")]
    wait_for(
        lambda: all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in threads),
        f"{pid} is stopped",
    )


class Server:
    """A server of the tests' own, as a child process: `url`, `kill()`, `start()` again with the
    data it had, `stop()`.
    """

    def __init__(
        self,
        binary: Path,
        directory: Path,
        *settings: str,
        config: str = "",
        env: dict[str, str] | None = None,
    ) -> None:
        self.binary, self.directory, self.settings = binary, directory, settings
        self.env = env
        self.config = directory / "config"  # Sentinel wants a file that it can write
        self.config.write_text(config)
        self.socket = directory / "s"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        own = [
            str(self.config),
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--dir",
            str(self.directory),
            "--save",
            "",
            "--logfile",
            "log",
        ]
        self.process = subprocess.Popen(
            [str(self.binary), *own, *self.settings],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=self.env,
        )
        wait_for(self.answers, f"{self.binary} answers")
        return self

    def answers(self) -> bool:
        assert self.process is None or self.process.poll() is None, (
            f"{self.binary} ended: {(self.directory / 'log').read_text()}"
        )
        try:
            with redis.Redis(
                unix_socket_path=str(self.socket), socket_timeout=5, protocol=2
            ) as client:
                return bool(client.ping())
        except redis.exceptions.ConnectionError:
            return False

    def kill(self) -> None:
        """As by `kill -9`."""
        self._end(hard=True)

    def stop(self) -> None:
        self._end(hard=False)

    def _end(self, hard: bool) -> None:
        if self.process:
            (self.process.kill if hard else self.process.terminate)()
            self.process.wait(DEADLINE_S)
            self.process = None


@pytest.fixture(scope="session")
def redis_servers() -> Iterator[Callable[[str], Server]]:
    """The session's server of each family, started when first asked for."""
    started: dict[str, Server] = {}
    directory = Path(tempfile.mkdtemp(prefix="octet-test-"))

    def get(family: str) -> Server:
        if family not in started:
            home = directory / family
            home.mkdir()
            started[family] = Server(find_program(family), home, env=SESSION).start()
        return started[family]

    yield get
    for each in started.values():
        each.kill()
    shutil.rmtree(directory)


@pytest.fixture(params=PROGRAMS)
def redis_url(request: pytest.FixtureRequest, redis_servers: Callable[[str], Server]) -> str:
    """URL of a real server, empty when the test begins."""
    return empty_server(redis_servers(request.param))


def empty_server(server: Server) -> str:
    """Its URL, with no data and no scripts in it."""
    with open_client(server.url) as client:
        client.flushall()
        client.script_flush()
    return server.url


@pytest.fixture(params=PROGRAMS[:1])
def single_redis_url(request: pytest.FixtureRequest, redis_servers: Callable[[str], Server]) -> str:
    """The same on one server. A conftest.py calls it `redis_url` where the second server shows
    nothing new: what may differ between the two is shown by the tests of store, lua, core and
    patterns.
    """
    return empty_server(redis_servers(request.param))


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A client of `redis_url`."""
    with open_client(redis_url) as client:
        yield client


@pytest.fixture(params=PROGRAMS)
def server_program(request: pytest.FixtureRequest) -> Path:
    """Path of a server's program."""
    return find_program(request.param)


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory with a path short enough for a socket's name, unlike pytest's `tmp_path`."""
    directory = Path(tempfile.mkdtemp(prefix="octet-test-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def embedded_home(short_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An OCTET_HOME and HOME of the test's own; its embedded server is ended after the test."""
    for name in ("OCTET_REDIS_URL", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    home = short_directory / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("OCTET_HOME", str(home / "octet"))
    directory = embedded.server_directory()
    yield home
    embedded.stop_server(directory, force=True)
