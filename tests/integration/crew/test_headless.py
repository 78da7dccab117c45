"""A member without a terminal: its log, how its turns end, and its own end."""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.redis_fixtures import wait_for

from octet.base.process import identify, is_alive
from octet.crew import headless
from octet.crew.headless import HeadlessHost
from octet.crew.hosts import Exit, Launch


class Loop:
    """The part of a supervisor that a host needs."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()

    def watch(self, descriptor: int, ready: object) -> None:
        self.selector.register(descriptor, selectors.EVENT_READ, ready)

    def unwatch(self, descriptor: int) -> None:
        if descriptor in self.selector.get_map():
            self.selector.unregister(descriptor)

    def turn_until(self, condition: Callable[[], bool], what: str) -> None:
        """Serve the host's descriptors until the condition holds."""

        def holds() -> bool:
            for key, _ in self.selector.select(0.1):
                key.data()
            return condition()

        wait_for(holds, what)


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def host(tmp_path: Path, loop: Loop) -> Iterator[HeadlessHost]:
    made = HeadlessHost(tmp_path, loop.watch, loop.unwatch)
    yield made
    for name in list(made._children):
        made.reap(name)


def launch(host: HeadlessHost, directory: Path, program: str) -> int:
    """Start a Python program as the member `a`; its output is the client's."""
    script = directory / "program"
    script.write_text(f"#!{sys.executable}\n{program}\n")
    script.chmod(0o755)
    return host.start(Launch("a", str(script), [], "work", str(directory), dict(os.environ)))


def is_dead(pid: int) -> bool:
    found = identify(pid)
    return found is None or not is_alive(found)


def test_the_prompt_comes_as_a_message(host: HeadlessHost, loop: Loop, tmp_path: Path) -> None:
    """On standard input, in the client's stream format; what the member says goes into its log."""
    launch(host, tmp_path, "import sys; print(sys.argv[1:], sys.stdin.readline(), flush=True)")
    log = tmp_path / "a.log"
    loop.turn_until(lambda: log.exists() and b"work" in log.read_bytes(), "the log")
    assert "'-p', '--input-format', 'stream-json'" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_it_ends_when_its_input_closes(host: HeadlessHost, tmp_path: Path) -> None:
    """A member that is asked to end reads the end of its input."""
    pid = launch(host, tmp_path, "import sys; sys.stdin.read(); sys.exit(3)")
    host.ask_to_end("a")
    wait_for(lambda: is_dead(pid), "its end")
    assert host.reap("a") == Exit(3)


def test_the_error_of_a_turn_is_known_until_the_next(
    host: HeadlessHost, loop: Loop, tmp_path: Path
) -> None:
    """The last event of a turn tells; a turn without an error clears it."""
    events = [
        {"type": "result", "is_error": failed, "result": "529 Overloaded" if failed else "done"}
        for failed in (True, False)
    ]
    lines = [json.dumps(event, separators=(",", ":")) for event in events]
    launch(
        host,
        tmp_path,
        f"import sys; a, b = {lines!r}; next(sys.stdin); print(a, flush=True)\n"
        "next(sys.stdin, None); print(b, flush=True); sys.stdin.read()",
    )
    loop.turn_until(lambda: host.error("a") == "529 Overloaded", "the error")
    host.ask_to_end("a")
    loop.turn_until(lambda: host.error("a") == "", "a turn without an error")
    assert host.reap("a").words == "529 Overloaded"


def test_last_words_and_signal_of_an_end(host: HeadlessHost, tmp_path: Path) -> None:
    """A line of plain text is kept as the reason; a signal is a negative status."""
    program = "import os, signal; print('no key', flush=True); os.kill(os.getpid(), signal.SIGTERM)"
    pid = launch(host, tmp_path, program)
    wait_for(lambda: is_dead(pid), "its end")
    assert host.reap("a") == Exit(-signal.SIGTERM, "no key")


def test_the_log_is_rotated_once(
    host: HeadlessHost, loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a member that talks much, the last part is kept, and the one before."""
    monkeypatch.setattr(headless, "MAX_LOG_BYTES", 1000)
    pid = launch(host, tmp_path, "for n in range(20000): print('a line', n)")
    loop.turn_until(lambda: is_dead(pid), "its end")
    host.reap("a")
    sizes = [(tmp_path / name).stat().st_size for name in ("a.log", "a.log.1")]
    assert all(0 < size < 3 * headless.CHUNK_BYTES for size in sizes)
    assert "a line 19999" in (tmp_path / "a.log").read_text()


def test_it_adopts_no_member(host: HeadlessHost) -> None:
    """Its streams ended with the supervisor that started it."""
    assert not host.adopt("a", os.getpid())
