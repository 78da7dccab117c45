"""The client of git's hooks as a process: what it asks the daemon, and what that costs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from octet.daemon.protocol import wire
from octet.daemon.protocol.wire import Reply, Request
from octet.fence import attempt, client
from octet.fence.attempt import RefMove

SOURCE = Path(client.__file__).parents[2]
LINE = f"{'1' * 40} {'2' * 40} refs/heads/main\n"
# What asking may import, besides what a bare interpreter has loaded anyway: each standard module
# more would cost an agent's commit as much as git does.
ALLOWED = {"__future__", "_socket", "octet", "octet.fence", "octet.fence.client", "pipe"}
# The process as `fence.sh` starts it; at its end, on standard output, the modules it has imported.
SCRIPT = """import sys
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
from octet.fence import client
end = client.posix._exit
def tell(code):
    print(*sorted(set(sys.modules) - before), flush=True)
    end(code)
client.posix._exit = tell
client.main(sys.argv[2:])"""


def run(state: Path, script: str = SCRIPT) -> subprocess.CompletedProcess[str]:
    """Ask about a move of main in /srv/shop, by an agent with a token."""
    words = ["/srv/shop", str(state), '["main"]', "4242", "1"]
    environment = {"CLAUDE_PID": "77", "OCTET_AGENT": "dev-1", "OCTET_FENCE_TOKEN": "5"}
    return subprocess.run(
        [sys.executable, "-I", "-S", "-X", "utf8", "-c", script, str(SOURCE), *words],
        input=LINE,
        env={**environment, "OCTET_REDIS_URL": "redis://localhost/3", "HOME": str(state)},
        cwd=state,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def daemon(state: Path, reply: bytes) -> Iterator[list[Request]]:
    """Something that answers one request with `reply`; the request is in the list afterwards."""
    requests: list[Request] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(state / "daemon.sock"))
        listener.listen()
        listener.settimeout(60)

        def serve() -> None:
            link, _ = listener.accept()
            with link:
                requests.append(wire.receive_request(link))
                link.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield requests
        thread.join()


@pytest.mark.parametrize("reply", [Reply(), Reply(2, b"", b"Octet: no.\n"), Reply(0, b"", b"so\n")])
def test_the_daemons_answer_is_gits(short_directory: Path, reply: Reply) -> None:
    """Exit code and standard error, for the question that the hook was asked."""
    with daemon(short_directory, wire.encode_reply(reply)) as requests:
        done = run(short_directory)
    assert (done.returncode, done.stderr.encode()) == (reply.exit_code, reply.stderr)
    [request] = requests
    assert (request.event, request.root, request.source) == ("Fence", "/srv/shop", "cli")
    assert request.redis_url == "redis://localhost/3"
    assert attempt.parse(request.payload) == attempt.Attempt(
        (RefMove("refs/heads/main", "1" * 40, "2" * 40),),
        protected=("main",),
        cwd=os.path.realpath(short_directory),
        pid=4242,
        claude_pid=77,
        agent="dev-1",
        token="5",
        near=True,
    )


@pytest.mark.parametrize("reply", [b"", b"0 5 0\n", b"1 0 0\n", b"HTTP/1.1 200 OK\r\n"])
def test_what_is_no_reply_is_answered_without_the_daemon(
    short_directory: Path, reply: bytes
) -> None:
    """As where none is there: an agent in a repository whose settings are gone is refused."""
    with daemon(short_directory, reply):
        done = run(short_directory)
    assert done.returncode == 2
    assert "/srv/shop does not use Octet" in done.stderr
    assert run(short_directory).stderr == done.stderr


def test_to_ask_imports_next_to_nothing(short_directory: Path) -> None:
    """C modules, the client, and the pipe that every hook of Claude Code is."""
    with daemon(short_directory, wire.encode_reply(Reply())):
        imported = run(short_directory).stdout.split()
    assert set(imported) <= ALLOWED


def test_hooks_of_the_version_before_find_it(short_directory: Path) -> None:
    """They import it by another name, and get the same."""
    script = SCRIPT.replace("from octet.fence import client", "from octet import fence_client")
    script = script.replace("client.posix", "sys.modules['octet.fence.client'].posix")
    with daemon(short_directory, wire.encode_reply(Reply(2, b"", b"Octet: no.\n"))):
        done = run(short_directory, script.replace("\nclient.main(", "\nfence_client.main("))
    assert (done.returncode, done.stderr) == (2, "Octet: no.\n")
    assert set(done.stdout.split()) <= ALLOWED | {"octet.fence_client"}
