"""`octet demo` as a person runs it: to its end, interrupted, killed; nothing of the person's is
touched and nothing is left.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from octet.base.processes import processes_of
from octet.git.program import Git

SOURCES = str(Path(__file__).parents[2] / "src")
DEADLINE_S = 230.0
pytestmark = pytest.mark.timeout(DEADLINE_S + 20)


class Person:
    """A person's machine: a home, a directory for temporary files, and a demo started there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.temporary = directory / "tmp"
        self.home.mkdir()
        self.temporary.mkdir()

    def environment(self, **settings: str) -> dict[str, str]:
        # What would lead the demo astray if it looked: another agent's identity, another server,
        # another repository.
        astray = {
            "OCTET_AGENT": "somebody-1",
            "OCTET_REDIS_URL": "redis://127.0.0.1:1/0",
            "CLAUDE_PID": "1",
            "GIT_DIR": "/nowhere",
        }
        return {
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": SOURCES,
            **astray,
            **settings,
        }

    def start(self, *arguments: str | Path, **settings: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "octet", "demo", *arguments],
            cwd=self.directory,
            env=self.environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def demos(self) -> list[Path]:
        """The temporary directories of demos that are there now."""
        return list(self.temporary.glob("octet-demo-*"))

    def processes(self) -> dict[int, str]:
        """What runs for a demo of this person, the demo itself not counted."""
        return {
            pid: command
            for pid, command in processes_of(self.temporary).items()
            if "-m octet demo" not in command
        }


@pytest.fixture
def person() -> Iterator[Person]:
    """A person whose directories are gone afterwards, and who must find no process left."""
    directory = Path(tempfile.mkdtemp(prefix="octet-person-")).resolve()
    made = Person(directory)
    try:
        yield made
        poll(lambda: not made.processes(), "the end of every process")
        assert made.demos() == []
        assert list(made.home.iterdir()) == []
    finally:
        for pid in processes_of(directory):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(directory)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    out, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, err


def poll(condition: Callable[[], object], what: str, deadline_s: float = 60.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.05)


def assert_all_right(report: dict[str, Any]) -> None:
    assert report["problems"] == []
    assert (report["agents"], report["tasks"], report["done"], report["merges"]) == (8, 12, 12, 12)
    assert report["conflicts"] == 0
    assert report["denials"] > 0
    # Two tasks were claimed twice: one's first holder was killed, one was sent back.
    assert report["claims"] == 14
    assert (report["reviews"], report["sent_back"], report["test_runs"]) == (13, 1, 12)
    assert 1 <= report["moves"] <= 12
    assert report["killed"] != report["heir"]
    assert 0 <= report["claimable_ms"] <= report["failover_ms"]


def test_a_demo_from_start_to_end(person: Person) -> None:
    """Every task goes through the gates and is merged once; the queue alone has moved main, and the
    tests pass wherever it has been.
    """
    kept = person.directory / "kept" / "pocket"
    status, out, err = finish(person.start("--json", "--keep", kept, "--seed", "5"))
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert_all_right(report)
    git = Git(kept)
    assert git.commit("main").startswith(report["main"])
    first, *moves = git.out("rev-list", "--reverse", "--first-parent", "main").splitlines()
    assert len(moves) == report["moves"]
    merged = [
        git.out("show", "--no-patch", "--format=%(trailers:key=Octet-Task,valueonly)", move).split()
        for move in moves
    ]
    assert all(merged)
    assert len({task for tasks in merged for task in tasks}) == sum(map(len, merged)) == 12
    for commit in (first, *moves):
        git.out("checkout", "--quiet", "--detach", commit)
        ran = subprocess.run(
            [sys.executable, "-B", "-m", "unittest", "-q"],
            cwd=kept,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, (commit, ran.stderr)


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_ended_half_way(person: Person, blow: signal.Signals) -> None:
    """Ctrl-C, kill and kill -9 end the crew, daemon and server, and remove the directory."""
    demo = person.start("--plain")
    assert demo.stdout is not None
    read_until(demo, "claimed")
    assert len(person.processes()) > 8
    demo.send_signal(blow)
    _, err = demo.communicate(timeout=60)
    assert demo.returncode == (-signal.SIGKILL if blow == signal.SIGKILL else 130)
    assert "Traceback" not in err
    poll(
        lambda: not person.processes() and not person.demos(),
        "the end of what the demo had started",
    )


def test_lines_tell_the_story(person: Person) -> None:
    """Without a terminal the story comes as lines, and the report at the end; a picture of the
    failover is kept.
    """
    picture = person.directory / "board.svg"
    status, out, err = finish(person.start("--developers", "2", "--picture", picture))
    assert (status, err) == (0, "")
    assert "killed" in picture.read_text()
    lines = out.splitlines()
    assert any("killed (SIGKILL)" in line for line in lines)
    assert sum("tests passed" in line for line in lines) == 12
    assert (
        sum(
            "sent" in line and "back: " in line and "no test shows this change" in line
            for line in lines
        )
        == 1
    )
    assert any(line.startswith("Household budgets: 12 of 12") for line in lines)
    assert "\x1b" not in out


def test_a_directory_that_is_there_is_not_written_into(person: Person) -> None:
    """--keep with a directory that exists is refused."""
    (person.directory / "mine").mkdir()
    status, _, err = finish(person.start("--keep", person.directory / "mine"))
    assert status == 2
    assert "--keep" in err
    assert list((person.directory / "mine").iterdir()) == []


def read_until(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(f"the demo ended before {words!r}: {process.communicate()[1]}")
