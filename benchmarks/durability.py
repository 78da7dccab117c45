"""What it costs to make every write safe against a power failure: `always` beside `everysec`, and
beside a server that keeps nothing.

Each side is a server of its own with its file on the disk of the current directory, all up at once
and asked in turn. One client shows what a command waits for, sixteen how far one fsync serves them
all. No budget: the figures are the disk's.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.table import Row, render
from octet.client.api import Octet
from octet.store import embedded
from octet.store.connection import open_client
from octet.store.embedded import launch, program
from octet.store.embedded.connection import ServerConnection
from octet.store.embedded.data import log_files

ROUNDS = 5
SECONDS = 1.0
CLIENTS = 16
SIDES = ("nothing kept", "redis's own everysec", "everysec", "always")
BASE = "everysec"


def run() -> list[Row]:
    """Time of one client's `task add`, then adds a second of sixteen, as ratios of `everysec`."""
    with (
        tempfile.TemporaryDirectory(prefix=".octet-bench-", dir=Path.cwd()) as directory,
        ExitStack() as stack,
    ):
        urls = {
            side: stack.enter_context(serving(Path(directory) / str(number), side))
            for number, side in enumerate(SIDES)
        }
        alone = in_turn(urls, one_client)
        together = in_turn(urls, many_clients)
    rows = [
        Row(f"task add, one client: {side}", alone[side], "us", ratio(alone, side), None, True)
        for side in SIDES
    ]
    return rows + [
        Row(f"{CLIENTS} clients: {side}", together[side], "/s", ratio(together, side), None, True)
        for side in SIDES
    ]


def ratio(values: Mapping[str, float], side: str) -> float | None:
    return None if side == BASE else values[side] / values[BASE]


def in_turn(urls: Mapping[str, str], measure: Callable[[str], float]) -> dict[str, float]:
    """The median over the rounds for each side; in a round every side is asked once."""
    rounds = [{side: measure(url) for side, url in urls.items()} for _ in range(ROUNDS)]
    return {side: statistics.median(one[side] for one in rounds) for side in urls}


def one_client(url: str) -> float:
    """Median time of a `task add` in microseconds."""
    times = []
    with Octet(open_client(url), "bench") as octet:
        until = time.perf_counter() + SECONDS
        while time.perf_counter() < until:
            began = time.perf_counter()
            octet.tasks.add("x")
            times.append((time.perf_counter() - began) * 1e6)
    return statistics.median(times)


def many_clients(url: str) -> float:
    """Adds a second over all clients."""
    counts = [0] * CLIENTS
    until = time.perf_counter() + SECONDS

    def work(number: int) -> None:
        with Octet(open_client(url), "bench") as octet:
            while time.perf_counter() < until:
                octet.tasks.add("x")
                counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


@contextmanager
def serving(directory: Path, side: str) -> Iterator[str]:
    """A server as Octet starts it, set as the side says; for `everysec` with a flushing process,
    as the daemon does.
    """
    directory.mkdir(mode=0o700)
    reason = launch.launch(program.find_server(), directory, time.monotonic() + 20)
    if reason:
        raise RuntimeError(reason)
    socket = directory / "redis.sock"
    ended = threading.Event()
    flusher = threading.Thread(target=flush, args=(directory, ended))
    flusher.start()
    try:
        with ServerConnection(embedded.server_url(directory).removeprefix("unix://")) as line:
            settings = {
                "always": "appendfsync always",
                "redis's own everysec": "appendfsync everysec",
                "nothing kept": "appendonly no",
            }
            if setting := settings.get(side):
                line.ask(f"CONFIG SET {setting}")
        yield f"unix://{socket}"
    finally:
        ended.set()
        flusher.join()
        embedded.stop_server(directory, force=True)


def flush(directory: Path, ended: threading.Event) -> None:
    """fsync every second; where the server does it itself, there is nothing left to do."""
    while not ended.wait(1.0):
        if log_files(directory):
            embedded.flush_to_disk(directory)


if __name__ == "__main__":
    print(render(run()))
