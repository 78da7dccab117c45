"""Many processes that use one queue, counter or state at once, forked from one so that they start
together.

Usage: own_use_worker.py URL JOB PROCESSES DIRECTORY; prints their pids, and ends when all have
ended.
"""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TextIO

from octet.base.errors import NothingThere, StaleToken
from octet.client.api import Octet
from octet.store.connection import open_client

LEASE_S = 2.0
COUNTS, UPDATES, STEPS = 50, 4, 30


def main() -> None:
    url, job, processes, directory = sys.argv[1:]
    pids = []
    for number in range(int(processes)):
        pid = os.fork()
        if not pid:
            with (
                Octet(open_client(url), "p") as octet,
                (Path(directory) / f"{number}").open("w") as history,
            ):
                globals()[job](octet, number, history)
                history.flush()
            os._exit(0)
        pids.append(pid)
    print(*pids, flush=True)
    failed = [pid for pid in pids if os.waitpid(pid, 0)[1] not in (0, 9)]
    sys.exit(len(failed))


def queue(octet: Octet, number: int, history: TextIO) -> None:
    """Work until none is left; a line per item: token, value, when asked, had, given up (ns)."""
    items = octet.queue("q")
    while True:
        asked = time.monotonic_ns()
        try:
            item = items.reserve(wait_s=0.5, lease_s=LEASE_S, max_deliveries=100)
        except NothingThere:
            if not items.stats().left:
                return
            continue
        had = time.monotonic_ns()
        print(item.token, item.value, asked, had, file=history, end=" ", flush=True)
        time.sleep(number % 5 / 1000)  # work
        print(time.monotonic_ns(), file=history, flush=True)
        try:
            items.ack(item)
        except StaleToken:
            print("stale", file=history)


def count(octet: Octet, number: int, history: TextIO) -> None:  # noqa: ARG001
    """Count up, and note each sum."""
    counter = octet.counter("c")
    for _ in range(COUNTS):
        print(counter.incr(), file=history)


def update(octet: Octet, number: int, history: TextIO) -> None:
    """Put an entry of its own into a list that all others change too."""
    for turn in range(UPDATES):
        entry = f"{number}.{turn}"
        field = octet.state("s").update("list", partial(with_entry, entry))
        print(field.version, file=history)


def with_entry(entry: str, value: list[str] | None) -> list[str]:
    return [*(value or []), entry]


def analyse(octet: Octet, number: int, history: TextIO) -> None:
    """Do the items of a map; a line for each that was done here."""

    def do(item: int) -> int:
        time.sleep(number % 5 / 1000)  # work
        print(item, file=history, flush=True)
        return item * 2

    octet.map("m").work(do, lease_s=LEASE_S, max_deliveries=100)


def steps(octet: Octet, number: int, history: TextIO) -> None:
    """Do those steps of a pipeline that no other does; a line for each."""

    def do(given: int | None) -> int:
        print(number, file=history, flush=True)
        return (given or 0) + 1

    octet.pipeline("p").run({f"step{n}": do for n in range(STEPS)}, wait_s=60, lease_s=LEASE_S)


main()
