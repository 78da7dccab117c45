"""A writer, a watcher, and a server that is killed, stopped and trimmed under them: nothing lost,
nothing doubled, all in order.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.redis_fixtures import Server, wait_for

from octet.client.api import Octet
from octet.store.connection import open_client

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

# Publishes n = 0, 1, 2, …, each until it is known to be in the log, and says after each that it is.
WRITER = """
import itertools, sys, time
from octet.client.api import Octet
from octet.base.errors import StoreUnreachable
from octet.store.connection import open_client
octet = Octet(open_client(sys.argv[1]), "p")
def newest():
    found = octet.events.log(1)
    return found[0].fields["n"] if found else -1
for n in itertools.count():
    while True:
        try:
            if newest() < n:
                octet.events.publish("note", {"n": n})
            break
        except StoreUnreachable:
            time.sleep(0.02)
    print(n, flush=True)
    time.sleep(float(sys.argv[2]))
"""
# What `octet event watch` runs, in a project that is only named.
WATCHER = """
import json, sys
from octet.client.api import Octet
from octet.store.connection import open_client
octet = Octet(open_client(sys.argv[1]), "p")
trouble = lambda why: print(json.dumps({"trouble": why}), flush=True)
for event in octet.events.tail(sys.argv[2] or None, "*", trouble):
    print(json.dumps({"id": event.id, "type": event.type, **event.fields}), flush=True)
"""


class Lines:
    """A process, and the lines that it has printed."""

    def __init__(self, code: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True
        )
        self.lines: list[Any] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def count(self, count: int) -> None:
        wait_for(lambda: len(self.lines) >= count, f"{count} lines", 60)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(20)
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def processes() -> Iterator[list[Lines]]:
    started: list[Lines] = []
    yield started
    for each in started:
        each.end()


@pytest.fixture
def server(short_directory: Path, server_program: Path) -> Iterator[Server]:
    # What was answered is on disk, as it is with the embedded server after its flush.
    server = Server(
        server_program, short_directory, "--appendonly", "yes", "--appendfsync", "always"
    ).start()
    yield server
    server.kill()


def numbers(watcher: Lines) -> list[int]:
    return [line["n"] for line in list(watcher.lines) if line.get("type") == "note"]


def wait_for_number(watcher: Lines, number: int) -> None:
    wait_for(lambda: numbers(watcher)[-1:] >= [number], "the watcher has come to the end")


def test_restarts(server: Server, server_program: Path, processes: list[Lines]) -> None:
    """Killed, ended and standing still, several times: both watchers have every number once, in
    order, and said what they met.
    """
    writer = Lines(WRITER, server.url, "0.002")
    processes.append(writer)
    writer.count(20)
    with open_client(server.url) as client, Octet(client, "p") as octet:
        assert octet.events.log(1)
    early, now = Lines(WATCHER, server.url, "0"), Lines(WATCHER, server.url, "")
    processes += [early, now]
    hangs = (
        ["hang"] if server_program.name.startswith("redis") else []
    )  # the one end that takes long to notice
    for end in ("kill", "stop", "kill", "stop", *hangs):
        for watcher in (early, now):  # one that lags behind would meet two ends as one
            watcher.count(len(watcher.lines) + 30)
        if end == "hang":
            assert server.process
            os.kill(server.process.pid, signal.SIGSTOP)
            wait_for(lambda: bool(now.lines[-1].get("trouble")), "the watcher notices")
            os.kill(server.process.pid, signal.SIGCONT)
        else:
            getattr(server, end)()
            server.start()
    writer.count(len(writer.lines) + 50)
    os.kill(writer.process.pid, signal.SIGSTOP)
    last = writer.lines[-1]
    for watcher in (early, now):
        wait_for_number(watcher, last)
    first = numbers(now)[0]
    for watcher, begin in ((early, 0), (now, first)):
        found = numbers(watcher)
        assert found == list(range(begin, found[-1] + 1))
        assert not any(line.get("type") == "log_trimmed" for line in watcher.lines)
        said = [bool(line["trouble"]) for line in watcher.lines if "trouble" in line]
        assert said == [True, False] * (len(said) // 2)
        assert len(said) >= 8


def test_what_was_trimmed_is_said(server: Server, processes: list[Lines]) -> None:
    """A watcher that stands still while the log turns over learns how many it has missed, and
    misses no other.
    """
    watcher = Lines(WATCHER, server.url, "0")
    processes.append(watcher)
    with open_client(server.url) as client, Octet(client, "p") as octet:
        for number in range(10):
            octet.events.publish("note", {"n": number})
        watcher.count(10)
        os.kill(watcher.process.pid, signal.SIGSTOP)
        for number in range(10, 400):
            octet.events.publish("note", {"n": number})
        client.xtrim(octet.store.keys.log, maxlen=50, approximate=False)
        os.kill(watcher.process.pid, signal.SIGCONT)
        octet.events.publish("note", {"n": 400})
        wait_for(lambda: numbers(watcher)[-1:] == [400], "the watcher has come to the end")
    found = numbers(watcher)
    assert found == [*range(10), *range(350, 401)]
    (gap,) = [line for line in watcher.lines if line.get("type") == "log_trimmed"]
    assert gap == {"id": "", "type": "log_trimmed", "events": 340}
    assert watcher.lines.index(gap) == 10


def test_what_was_only_published_is_shown_too(server: Server, processes: list[Lines]) -> None:
    """A message of redis-cli's, which no log has, stands among the others, once."""
    watcher = Lines(WATCHER, server.url, "")
    processes.append(watcher)
    with open_client(server.url) as client, Octet(client, "p") as octet:
        wait_for(lambda: client.pubsub_numpat() > 0, "the watcher has subscribed")
        octet.events.publish("note", {"n": 1})
        client.publish(octet.store.keys.channel("foreign"), "plain text")
        octet.events.publish("note", {"n": 2})
        watcher.count(3)
    assert sorted(str(line.get("n", line.get("raw"))) for line in watcher.lines) == [
        "1",
        "2",
        "plain text",
    ]
