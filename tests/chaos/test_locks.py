"""Sixty-four processes over thirty-two paths, several at once, with waits and kills: no two are
ever in one file, and none starves.

Two detectors that know nothing of each other: marks that holders leave in files, and the project's
log.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.lock_worker import PATHS, covered
from tests.support.redis_fixtures import wait_for

from octet.client.api import Octet
from octet.store.connection import open_client
from octet.store.script_files import load_script

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

WORKERS, KILLED = 64, 12
# The whole of it on one server; the other shows that nothing depends on which.
TURNS = {"redis": 20, "valkey": 10}
WORKER = Path(__file__).parent / "lock_worker.py"


class Crowd:
    """Workers of one project, started together; one that is killed expires by its pid, as the
    daemon does it.
    """

    def __init__(self, url: str, directory: Path) -> None:
        self.octet = Octet(open_client(url), directory.name.replace("_", "-"))
        self.url, self.directory, self.start = url, directory, directory / "start"
        (directory / "marks").mkdir()
        self.launcher: subprocess.Popen[str] | None = None
        self.pids: dict[str, int] = {}

    def launch(self, count: int, turns: int) -> None:
        words = [
            self.url,
            self.octet.store.keys.project,
            str(self.directory),
            str(count),
            str(turns),
            str(self.start),
        ]
        self.launcher = subprocess.Popen(
            [sys.executable, str(WORKER), *words], stdout=subprocess.PIPE, text=True
        )
        assert self.launcher.stdout is not None
        for _ in range(count):
            name, pid = self.launcher.stdout.readline().split()
            self.pids[name] = int(pid)

    def kill(self, name: str) -> None:
        """SIGKILL; its marks are removed while its locks still keep others out; then it expires."""
        pid = self.pids.pop(name)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not is_there(pid), "it is dead")
        for mark in (self.directory / "marks").iterdir():
            if read(mark) == name:
                mark.unlink(missing_ok=True)
        for agent in self.octet.agents.list():
            if agent.pid == pid:
                self.octet.agents.expire(agent)

    def finish(self) -> None:
        assert self.launcher is not None
        assert self.launcher.wait(timeout=90) == 0

    def notes(self, name: str) -> list[str]:
        return (self.directory / f"{name}.notes").read_text().splitlines()

    def overlaps_seen(self) -> list[str]:
        """Detector one."""
        return read(self.directory / "overlaps").splitlines()

    def overlaps_logged(self) -> list[str]:
        """Detector two: the log, entry by entry, which locks are in force, and whether any two of
        them meet.
        """
        return check(
            [
                event_of(data)
                for _, data in self.octet.store.client.xrange(self.octet.store.keys.log)
            ]
        )

    def close(self) -> None:
        for pid in self.pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.launcher is not None:
            self.launcher.wait()
            assert self.launcher.stdout is not None
            self.launcher.stdout.close()
        self.octet.close()


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def event_of(data: dict[str, str]) -> dict[str, Any]:
    return {**json.loads(data["data"]), "type": data["type"]}


def check(events: list[dict[str, Any]]) -> list[str]:
    """What contradicts: a file under two locks of different agents, a token that does not grow, a
    lock freed without a holder.
    """
    found, holders, newest = [], dict[str, tuple[str, str]](), 0
    for event in events:
        resource, agent = event.get("resource", ""), event.get("agent", "")
        if event["type"] == "lock_acquired":
            for path in covered([resource.removeprefix("path:")]):
                for other, (holder, _) in holders.items():
                    if holder != agent and path in covered([other.removeprefix("path:")]):
                        found.append(f"{agent} has {resource} while {holder} has {other}")
            holders[resource] = (agent, event["token"])
            if int(event["token"]) <= newest:
                found.append(f"{resource} has token {event['token']} after {newest}")
            newest = int(event["token"])
        elif (
            event["type"] in ("lock_released", "lock_broken")
            and holders.pop(resource, ("", ""))[0] != agent
        ):
            found.append(f"{agent} released {resource}, which it did not have")
    return found


@pytest.fixture
def crowd(redis_url: str, tmp_path: Path) -> Iterator[Crowd]:
    crowd = Crowd(redis_url, tmp_path)
    yield crowd
    crowd.close()


def test_no_two_are_ever_in_one_file(crowd: Crowd, request: pytest.FixtureRequest) -> None:
    """64 processes, each again and again in some of 32 files or in a directory, twelve of them
    killed: the others come to their end.
    """
    chance = random.Random(20261122)
    crowd.launch(WORKERS, TURNS[request.node.callspec.params["redis_url"]])
    crowd.start.touch()
    for name in chance.sample(sorted(crowd.pids), KILLED):
        time.sleep(
            chance.random() * 0.2
        )  # when it is killed is the test's chance, not a wait for anything
        crowd.kill(name)
    crowd.finish()
    assert crowd.overlaps_seen() == []
    assert crowd.overlaps_logged() == []
    for name in crowd.pids:
        notes = crowd.notes(name)
        assert notes[-1] == "done"
        assert not [note for note in notes if note.startswith("refused")]
    assert crowd.octet.locks.list() == []
    assert crowd.octet.store.client.hlen(crowd.octet.store.keys.lock("waiting")) == 0


def test_both_detectors_catch_a_script_that_does_not_look(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the script's check of the holder, marks and log both show overlaps."""
    text = load_script("lock/acquire").text
    broken = text.replace("lock and not is_own(me, lock.holder)", "false")
    assert broken != text
    (crowd.directory / "broken.lua").write_text(broken)
    monkeypatch.setenv("OCTET_TEST_BROKEN", str(crowd.directory / "broken.lua"))
    crowd.launch(16, turns=10)
    crowd.start.touch()
    crowd.finish()
    assert crowd.overlaps_seen()
    assert crowd.overlaps_logged()


def test_the_paths_meet_as_the_detectors_take_it() -> None:
    """A directory covers its eight files, a file itself."""
    assert len(covered(["d1/"])) == 8
    assert covered(["d1/f1"]) == ["d1/f1"]
    assert len(PATHS) == 32
