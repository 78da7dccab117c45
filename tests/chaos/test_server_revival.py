"""Real processes against one embedded server: asked by fifty at once, killed in mid-write,
orphaned, with a disk that hangs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.programs import skip_or_fail
from tests.support.redis_fixtures import DEADLINE_S, find_program, kill_hard, wait_for

from octet.base.errors import StoreUnreachable
from octet.store import embedded
from octet.store.connection import connect, translate_errors
from octet.store.embedded.launch import server_runs

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

# Prints the server's pid and then waits for the end of its input.
STARTER = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
from octet.store import embedded as server
if sys.argv[1:]:
    print("ready", flush=True)
    sys.stdin.readline()
server.ensure_server()
print(server.read_status().pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["redis", "valkey"])
def home(
    request: pytest.FixtureRequest, embedded_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A home on whose PATH one server stands first; `bin/` is that PATH's first entry."""
    binary = find_program(request.param)
    (embedded_home / "bin").mkdir()
    (embedded_home / "bin" / binary.name).symlink_to(binary)
    monkeypatch.setenv("PATH", str(embedded_home / "bin"))
    return embedded_home


@pytest.fixture
def starters() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that the test starts; none is left."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start(code: str, *arguments: str, descriptors: tuple[int, ...] = ()) -> subprocess.Popen[str]:
    """A Python process of its own session with pipes to it."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        pass_fds=descriptors,
    )


def line_from(process: subprocess.Popen[str]) -> str:
    """The next line that a process prints."""
    assert process.stdout
    return process.stdout.readline().strip()


def pid_of_server() -> int:
    """The running server's process."""
    status = embedded.read_status()
    assert status
    return status.pid


def wrap(home: Path, script: str) -> None:
    """Put a shell script in the place of the server's program; `$REAL` is that program."""
    (link,) = (home / "bin").iterdir()
    real = link.resolve()
    link.unlink()
    link.write_text(f"#!/bin/sh\nREAL={real}\n{script}\n")
    link.chmod(0o755)


def test_fifty_ask_at_once(home: Path, starters: list[subprocess.Popen[str]]) -> None:
    """Fifty processes at the same moment get one and the same server, all of them."""
    starters += [start(STARTER, "wait") for _ in range(50)]
    assert {line_from(process) for process in starters} == {"ready"}
    for process in starters:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    assert {line_from(process) for process in starters} == {str(pid_of_server())}
    log = (embedded.server_directory() / "redis.log").read_text()
    assert log.count("Server initialized") == 1, home


def test_fifty_threads_revive_one_server(home: Path) -> None:
    """After a kill -9, fifty clients find it dead at once, and one server comes back for all."""
    embedded.ensure_server()
    clients = [connect(None) for _ in range(50)]
    for client in clients:
        client.ping()
    kill_hard(pid_of_server())
    errors: list[Exception] = []

    def use(n: int) -> None:
        try:
            clients[n].set(f"k{n}", "v")
        except Exception as error:  # noqa: BLE001 - any error of any thread fails the test
            errors.append(error)

    threads = [threading.Thread(target=use, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert clients[0].dbsize() == 50, home
    for client in clients:
        client.close()


class Killer(threading.Thread):
    """Kills the server every 100 ms, at any work, until `done` is set; counts in `kills`."""

    def __init__(self) -> None:
        super().__init__()
        self.done = threading.Event()
        self.kills = 0

    def run(self) -> None:
        while not self.done.wait(0.1):
            try:
                status = embedded.read_status()
            except StoreUnreachable:
                continue  # it is starting, or died between two questions
            if status:
                kill_hard(status.pid)
                self.kills += 1


@pytest.mark.usefixtures("home")
def test_every_acknowledged_write_survives() -> None:
    """Five thousand acknowledged writes under many kill -9: all there, in order, none twice."""
    killer = Killer()
    killer.start()
    acknowledged: list[int] = []
    uncertain: list[int] = []
    n = 0
    with connect(None) as client:
        while len(acknowledged) < 5000 or killer.kills < 8:
            n += 1
            try:
                with translate_errors(client):
                    client.rpush("l", n)
            except StoreUnreachable:
                uncertain.append(n)  # it may or may not be there, and was not sent twice
            else:
                acknowledged.append(n)
        killer.done.set()
        killer.join()
        stored = [int(value) for value in client.lrange("l", 0, -1)]
    assert stored == sorted(set(stored))
    assert set(acknowledged) <= set(stored) <= set(acknowledged) | set(uncertain)
    assert len(uncertain) <= killer.kills


@pytest.fixture(scope="session")
def slow_fsync(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that makes every fsync of a program take five seconds."""
    compiler = shutil.which("cc")
    if not compiler or sys.platform != "linux":
        skip_or_fail("needs cc" if sys.platform == "linux" else "LD_PRELOAD is Linux's")
    home = tmp_path_factory.mktemp("slow")
    source = (
        "#include <unistd.h>\nint fsync(int fd) { sleep(5); return 0; }\nint fdatasync(int fd) { "
        "sleep(5); return 0; }\n"
    )
    command = [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", str(home / "slow.so")]
    subprocess.run(command, input=source, text=True, check=True)
    return home / "slow.so"


@pytest.mark.parametrize("home", ["redis"], indirect=True)
def test_acknowledged_writes_survive_a_slow_disk(slow_fsync: Path, home: Path) -> None:
    """While an fsync takes five seconds, a kill -9 still loses nothing that was acknowledged.

    With `appendfsync everysec` this loses about two thirds of the writes: the server holds them
    back while its own fsync runs.
    """
    wrap(home, f'LD_PRELOAD={slow_fsync} exec "$REAL" "$@"')
    acknowledged = 0
    with connect(None) as client:
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            client.incr("n")
            acknowledged += 1
        kill_hard(pid_of_server())
        assert int(client.get("n") or 0) == acknowledged


@pytest.mark.parametrize(
    "end", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM], ids=lambda end: end.name
)
def test_server_outlives_its_starter(
    home: Path, starters: list[subprocess.Popen[str]], end: signal.Signals
) -> None:
    """The server outlives its starter's killed process group, and keeps no pipe open."""
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    starter = start(STARTER, descriptors=(writer,))
    starters.append(starter)
    os.close(writer)
    pid = int(line_from(starter))
    os.killpg(starter.pid, end)
    starter.wait(DEADLINE_S)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"", (
            home
        )  # the end, which comes only when no process holds the other side
    assert starter.stdout
    assert starter.stdout.read() == ""
    assert pid_of_server() == pid
    assert os.getsid(pid) == os.getpgid(pid) != os.getsid(0)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_server_holds_no_foreign_descriptor(
    home: Path, starters: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    """The server has no file or variable of its starter's but the lock that says it lives."""
    with (tmp_path / "secret").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        os.environ["OCTET_TEST_SECRET"] = "s3cret"
        try:
            starters.append(start(STARTER, descriptors=(file.fileno(),)))
        finally:
            del os.environ["OCTET_TEST_SECRET"]
        pid = int(line_from(starters[0]))
    files = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    own = str(embedded.server_directory())
    kinds = ("socket:", "anon_inode:", "pipe:", "/dev/null", "/dev/urandom", own)
    assert [name for name in files if not name.startswith(kinds)] == [], home
    assert f"{own}/redis.alive" in files
    assert b"s3cret" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_starter_killed_before_the_server_answers(
    home: Path, starters: list[subprocess.Popen[str]]
) -> None:
    """The next client waits for a loading server whose starter died, and starts no second."""
    with connect(None) as client:
        pipe = client.pipeline(transaction=False)
        for n in range(3000):
            pipe.set(f"k{n}", "v")
        pipe.execute()
    assert embedded.stop_server()
    wrap(home, 'exec "$REAL" "$@" --key-load-delay 400')
    starters.append(start(STARTER))
    directory = embedded.server_directory()
    wait_for(
        lambda: server_runs(directory) and (directory / "redis.pid").exists(),
        "the server is loading",
    )
    starters[0].kill()
    starters[0].wait(DEADLINE_S)
    with connect(None) as client:
        assert client.dbsize() == 3000
    assert (directory / "redis.log").read_text().count("Server initialized") == 2


def test_client_waits_for_loading_data(home: Path) -> None:
    """A client whose server died under much data gets its answer, not "loading"."""
    with connect(None) as client:
        pipe = client.pipeline(transaction=False)
        for n in range(3000):
            pipe.set(f"k{n}", "v")
        pipe.execute()
        wrap(home, 'exec "$REAL" "$@" --key-load-delay 400')
        kill_hard(pid_of_server())
        assert client.get("k2999") == "v"
