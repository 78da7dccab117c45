"""What a daemon of another version says, and which of the recorded processes still run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from octet.daemon.process.status import RECORD, Status, recorded_processes, write_record


def test_a_status_of_another_version_can_be_read() -> None:
    """What it does not say, or says otherwise, has its default."""
    status = Status.parse({"pid": 7, "version": "9.0", "colour": "blue", "agents": "many"})
    assert (status.pid, status.version, status.agents, status.fingerprint) == (7, "9.0", 0, "")


def test_the_record_names_the_processes_that_run(tmp_path: Path) -> None:
    """Supervisor first; an ended one is left out, so that its pid's next owner is not named."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write_record(tmp_path, Status(pid=os.getpid(), supervisor=child.pid))
    assert [process.pid for process in recorded_processes(tmp_path)] == [child.pid, os.getpid()]
    child.communicate()
    assert [process.pid for process in recorded_processes(tmp_path)] == [os.getpid()]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"processes": [1]}',
        '{"processes": ["x"]}',
        '{"processes": null}',
        "{}",
    ],
)
def test_a_damaged_record_names_nobody(text: str, tmp_path: Path) -> None:
    """Half-written by a crash, or by another version."""
    (tmp_path / RECORD).write_text(text)
    assert recorded_processes(tmp_path) == []


def test_a_record_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    """A full disk, a lost directory."""
    write_record(tmp_path / "missing", Status(pid=1))
    write_record(tmp_path, Status(pid=os.getpid()))
    assert json.loads((tmp_path / RECORD).read_text())["pid"] == os.getpid()
