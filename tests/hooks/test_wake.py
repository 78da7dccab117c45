"""The waiter as a process: it waits for the daemon's word, whatever becomes of the daemon, and ends
with its client.
"""

from __future__ import annotations

import os
import pty
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest

from octet.daemon.protocol.wire import Reply, encode_reply

from .machine import HOOKS, PYTHON, Answer, Machine

LINE = b"Octet: 1 message has come for guest-1.\n"
LIVE = "import time; time.sleep(300)"


class Client:
    """A process whose command line looks like Claude Code's."""

    def __init__(
        self, words: Sequence[str] = (), *, stdin: Any = subprocess.DEVNULL, terminal: bool = True
    ) -> None:
        self._master, terminal_fd = pty.openpty()
        stdout = terminal_fd if terminal else subprocess.DEVNULL
        self.process = subprocess.Popen([PYTHON, "-c", LIVE, *words], stdin=stdin, stdout=stdout)
        os.close(terminal_fd)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


class Daemon:
    """Takes the waiters' connections, and answers when the test says so."""

    def __init__(self) -> None:
        self._ear = socket.socket(socket.AF_UNIX)
        self._ear.bind("daemon.sock")
        self._ear.listen()
        self._ear.settimeout(20)
        self.link: socket.socket | None = None

    def accept(self) -> dict[str, str]:
        """The next waiter's request: its header, and its payload's fields as `payload`."""
        self.hang_up()
        self.link, _ = self._ear.accept()
        data = b""
        while chunk := self.link.recv(65536):
            data += chunk
        header, _, payload = data.partition(b"\0\n")
        pairs = dict(pair.split("=", 1) for pair in os.fsdecode(header).split("\0"))
        return {**pairs, "payload": os.fsdecode(payload)}

    def answer(self, reply: Reply) -> None:
        assert self.link
        self.link.sendall(encode_reply(reply))
        self.hang_up()

    def hang_up(self) -> None:
        if self.link:
            self.link.close()
        self.link = None

    def close(self) -> None:
        self.hang_up()
        self._ear.close()


@pytest.fixture
def daemon(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    monkeypatch.chdir(machine.state)
    made = Daemon()
    yield made
    made.close()


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    yield made
    made.close()


def arm(
    machine: Machine, client: Client, payload: bytes = b"", **options: Any
) -> subprocess.Popen[bytes]:
    """Start the waiter of a client, with a session's first payload unless told otherwise."""
    environment = {
        **machine.environment,
        "CLAUDE_PID": str(client.process.pid),
        "CLAUDE_CONFIG_DIR": "/c",
    }
    process = machine.begin("Wake", environment=environment, **options)
    assert process.stdin
    with suppress(BrokenPipeError):  # it may have ended already
        process.stdin.write(payload or machine.recorded("session_start_startup"))
        process.stdin.close()
    process.stdin = None
    return process


def end(process: subprocess.Popen[bytes]) -> Answer:
    out, err = process.communicate(timeout=30)
    return Answer(process.returncode, out, err)


def test_it_says_what_the_daemon_says(machine: Machine, daemon: Daemon, client: Client) -> None:
    """Code 2 and the line on standard error, nothing on standard output; the daemon learns of whom,
    since when and from which event.
    """
    waiter = arm(machine, client, machine.recorded("user_prompt_submit"))
    asked = daemon.accept()
    since, event, status = asked["payload"].split("\0")
    assert (asked["event"], asked["root"], asked["pid"]) == (
        "Wake",
        str(machine.repository),
        str(client.process.pid),
    )
    assert float(since) > 0
    assert (event, status) == ("UserPromptSubmit", f"/c/sessions/{client.process.pid}.json")
    daemon.answer(Reply(2, b"", LINE))
    assert end(waiter) == Answer(2, b"", LINE)


def test_it_goes_silently_when_another_has_taken_over(
    machine: Machine, daemon: Daemon, client: Client
) -> None:
    """Code 0, no word."""
    waiter = arm(machine, client)
    daemon.accept()
    daemon.answer(Reply())
    assert end(waiter) == Answer(0, b"", b"")


def test_it_asks_again_whatever_the_daemon_does(
    machine: Machine, daemon: Daemon, client: Client
) -> None:
    """One that breaks off, or talks nonsense, is asked again, as the same waiter."""
    waiter = arm(machine, client)
    first = daemon.accept()
    daemon.hang_up()
    daemon.accept()
    assert daemon.link
    daemon.link.sendall(b"nonsense\n")
    assert daemon.accept() == first
    daemon.answer(Reply(2, b"", LINE))
    assert end(waiter) == Answer(2, b"", LINE)


def test_where_no_daemon_is_it_starts_one(machine: Machine, client: Client) -> None:
    """Once; the daemon's answer ends it."""
    assert end(arm(machine, client)) == Answer(0, b"", b"")
    assert machine.command_runs == 1


def test_it_ends_with_its_client(machine: Machine, daemon: Daemon, client: Client) -> None:
    """A killed client sends no notice; the waiter ends, with a daemon or without."""
    connected = arm(machine, client)
    daemon.accept()
    client.process.kill()
    client.process.wait()
    assert end(connected) == Answer(0, b"", b"")
    daemon.close()
    assert end(arm(machine, client)) == Answer(0, b"", b"")


@pytest.mark.parametrize(
    "words", [["-p", "hello"], ["--print"], ["-cp", "hello"], ["--model", "x", "hello", "-p"]]
)
@pytest.mark.usefixtures("daemon")
def test_a_client_that_would_wait_for_it_is_not_kept(machine: Machine, words: list[str]) -> None:
    """Plain `claude -p` runs it in the foreground: it ends at once, whatever the daemon does."""
    client = Client(words)
    try:
        assert end(arm(machine, client)) == Answer(0, b"", b"")
    finally:
        client.close()


@pytest.mark.usefixtures("daemon")
def test_a_client_without_a_terminal_is_not_kept(machine: Machine) -> None:
    """It prints, as if by -p; and fed by something that is no pipe its input's end could not be
    seen.
    """
    ours, theirs = socket.socketpair()
    for words, stdin in (
        ([], None),
        (["--input-format", "stream-json"], theirs),
        (["--input-format=stream-json"], subprocess.DEVNULL),
    ):
        client = Client(words, stdin=stdin or subprocess.DEVNULL, terminal=False)
        try:
            assert end(arm(machine, client)) == Answer(0, b"", b"")
        finally:
            client.close()
    ours.close()
    theirs.close()


def test_it_ends_with_its_clients_input(machine: Machine, daemon: Daemon) -> None:
    """A client fed by stream-json through a pipe is kept while a process may write to the pipe."""
    client = Client(["-p", "--input-format", "stream-json"], stdin=subprocess.PIPE, terminal=False)
    assert client.process.stdin
    try:
        waiter = arm(machine, client)
        daemon.accept()
        assert waiter.poll() is None
        client.process.stdin.close()
        assert end(waiter) == Answer(0, b"", b"")
    finally:
        client.close()


@pytest.mark.usefixtures("daemon")
def test_it_is_not_for_sub_agents_nor_for_who_has_not_opted_in(
    machine: Machine, client: Client
) -> None:
    """Silent, at once."""
    assert end(arm(machine, client, machine.recorded("pre_tool_use_write_subagent"))) == Answer(
        0, b"", b""
    )
    assert end(arm(machine, client, cwd=machine.elsewhere)) == Answer(0, b"", b"")


def test_its_client_ends_it_at_once(machine: Machine, daemon: Daemon, client: Client) -> None:
    """By SIGTERM, as at the end of a session."""
    waiter = arm(machine, client)
    daemon.accept()
    waiter.terminate()
    assert end(waiter).err == b""


def test_it_imports_nothing_that_is_not_in_the_interpreter() -> None:
    """There is one for each session: C modules, and the pipe that every hook is."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import wake; print(*(m.__name__ for m in "
        "sys.modules.values() if is_python(m)))"
    )
    judge = "is_python = lambda m: str(getattr(m, '__file__', '')).endswith('.py')"
    command = [PYTHON, "-I", "-S", "-X", "utf8", "-c", f"{judge}\n{code}", str(HOOKS)]
    seen = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    bare = subprocess.run(
        [*command[:5], "-c", f"{judge}\nimport sys\n{code.split('; ')[-1]}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert set(seen) - set(bare.stdout.split()) == {"wake", "pipe"}
