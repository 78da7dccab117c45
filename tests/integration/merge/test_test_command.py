"""The test command: its evidence, and that nothing of it goes on after its end."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.repositories import alive, poll

from octet.merge import test_command
from octet.merge.test_command import TAIL_BYTES, TestCommand

SOURCES = str(Path(test_command.__file__).parents[2])


def leaving(pid_file: Path, then: str) -> str:
    return f"sleep 60 & echo $! > {shlex.quote(str(pid_file))}; {then}"


def test_evidence_of_a_run(tmp_path: Path) -> None:
    """What was run, on what, for how long, and how it ended."""
    before = time.time_ns() // 1_000_000
    evidence = TestCommand("pwd; exit 3", 30).run_in(
        tmp_path, commits=("a", "b"), onto="o", combined="c", tree="t"
    )
    assert (
        evidence.command,
        evidence.commits,
        evidence.onto,
        evidence.combined,
        evidence.tree,
    ) == (
        "pwd; exit 3",
        ("a", "b"),
        "o",
        "c",
        "t",
    )
    assert (evidence.status, evidence.passed, evidence.tail) == (3, False, f"{tmp_path}\n")
    assert before <= evidence.started_ms <= time.time_ns() // 1_000_000
    assert 0 <= evidence.duration_ms < 30_000


def test_a_signal_is_a_negative_status(tmp_path: Path) -> None:
    """A test command that is killed has not passed."""
    assert TestCommand("kill -9 $$", 30).run_in(tmp_path).status == -signal.SIGKILL


def test_a_long_output_is_cut_to_its_end(tmp_path: Path) -> None:
    """Only the last bytes of the output are kept, undecodable ones replaced."""
    evidence = TestCommand("head -c 100000 /dev/zero; printf '\\377end'", 30).run_in(tmp_path)
    assert evidence.tail.endswith("\ufffdend")
    assert len(evidence.tail) <= TAIL_BYTES


@pytest.mark.parametrize("then", ["true", "false"])
def test_what_the_tests_leave_running_ends_with_them(tmp_path: Path, then: str) -> None:
    """A server that the tests left running does not go on in the directory of the next run."""
    TestCommand(leaving(tmp_path / "pid", then), 30).run_in(tmp_path)
    poll(lambda: not alive(int((tmp_path / "pid").read_text())))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_the_tests_end_with_the_process_that_runs_them(tmp_path: Path, how: signal.Signals) -> None:
    """However the merging process ends, the whole group of its tests ends too."""
    code = (
        "from pathlib import Path; from octet.merge.test_command import TestCommand; "
        f"TestCommand({leaving(tmp_path / 'pid', 'wait')!r}, 60).run_in(Path('.'))"
    )
    runner = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": SOURCES},
        stderr=subprocess.DEVNULL,
    )
    poll(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"))
    runner.send_signal(how)
    runner.wait(10)
    poll(lambda: not alive(int((tmp_path / "pid").read_text())))
