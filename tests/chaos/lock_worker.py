"""The workers of the lock test: each takes a few paths at once, over and over, and leaves its mark
in the file of each while it has it.

Usage: lock_worker.py URL PROJECT DIRECTORY COUNT TURNS START_FILE

They are forked off one process, which has imported everything, and say `NAME PID` when they are
ready.

A mark is a link that must not be there yet, to a file with the worker's name; a worker that finds
another's where its own should be, or finds its own gone, writes that to `overlaps`. That is
detector one, and knows nothing of Redis. Detector two is the project's log.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.waiting import poll

from octet.base.errors import Deadlock, LockHeld, NotFound, StaleToken
from octet.base.process import identify
from octet.core.agents.registry import Agents, Registration
from octet.core.locks.locks import Locks
from octet.store import script_files, scripts
from octet.store.connection import open_client
from octet.store.keys import Keys
from octet.store.scripts import Store

START_WITHIN_S = 120.0
PATHS = [f"d{n // 8}/f{n % 8}" for n in range(32)]
WAIT_S = 40.0


def use_broken_script() -> None:
    """The test of the detectors themselves names a script that lets everybody in."""
    if path := os.environ.get("OCTET_TEST_BROKEN"):
        real, text = script_files.load_script, Path(path).read_text()
        sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        broken = replace(real("lock/acquire"), text=text, sha=sha)
        vars(scripts)["load_script"] = lambda name: broken if name == "lock/acquire" else real(name)


def main() -> None:
    use_broken_script()
    url, project, directory, count, turns, start = sys.argv[1:]
    for number in range(int(count)):
        if os.fork() == 0:
            Worker(url, project, Path(directory), number).run(int(turns), Path(start))
            os._exit(0)
    for _ in range(int(count)):
        os.wait()


class Worker:
    """One process, one agent."""

    def __init__(self, url: str, project: str, directory: Path, number: int) -> None:
        store = Store(open_client(url), Keys(project))
        self.locks, self.chance = Locks(store), random.Random(number)
        self.name, self.directory = f"w{number}", directory
        me = identify(os.getpid())
        assert me
        wanted = Registration(
            role="worker", kind="external", process=str(me), pid=me.pid, host=me.host
        )
        self.agent = Agents(store).register(wanted).agent
        self.notes = os.open(
            directory / f"{self.name}.notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )

    def run(self, turns: int, start: Path) -> None:
        os.write(1, f"{self.name} {os.getpid()}\n".encode())
        poll(start.exists, "the start", START_WITHIN_S)
        for _ in range(turns):
            self.take_turn()
        self.note("done")

    def take_turn(self) -> None:
        wanted, began = some(self.chance), time.monotonic()
        try:
            tokens = self.locks.acquire_when_free(
                self.agent, [f"path:{path}" for path in wanted], WAIT_S
            )
        except (LockHeld, Deadlock) as refused:
            return self.note(f"refused {refused}")
        self.note(f"waited {time.monotonic() - began}")
        enter_and_leave(self.directory, covered(wanted), self.name, self.chance.random() * 0.004)
        for resource, token in tokens.items():
            try:
                self.locks.release(resource, token)
            except (NotFound, StaleToken) as lost:
                overlap(self.directory, f"{self.name} lost {resource}: {lost}")
        return None

    def note(self, text: str) -> None:
        os.write(self.notes, f"{text}\n".encode())


def some(chance: random.Random) -> list[str]:
    """One to three paths; now and then a directory."""
    if chance.random() < 0.05:
        return [f"d{chance.randrange(4)}/"]
    return chance.sample(PATHS, chance.choice((1, 1, 2, 3)))


def covered(wanted: list[str]) -> list[str]:
    """The files that these paths take in."""
    return [
        path
        for path in PATHS
        if any(path == one or (one.endswith("/") and path.startswith(one)) for one in wanted)
    ]


def enter_and_leave(directory: Path, paths: list[str], name: str, stay_s: float) -> None:
    """Mark each file, stay, and take the marks away."""
    marks = [directory / "marks" / path.replace("/", "-") for path in paths]
    own = directory / f"{name}.name"
    own.write_text(name)
    for mark in marks:
        try:
            os.link(own, mark)
        except FileExistsError:
            overlap(directory, f"{name} enters {mark.name}, where another is")
    time.sleep(stay_s)
    for mark in marks:
        if not mark.exists() or mark.read_text() != name:
            overlap(directory, f"{name} leaves {mark.name}, and its mark is gone")
        mark.unlink(missing_ok=True)


def overlap(directory: Path, text: str) -> None:
    file = os.open(directory / "overlaps", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, f"{text}\n".encode())
    os.close(file)


if __name__ == "__main__":
    main()
