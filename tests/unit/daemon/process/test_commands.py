"""The command lines of the daemon's two processes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from octet.daemon.process import commands


def test_the_worker_runs_like_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its interpreter, with its bytecode directory."""
    monkeypatch.setattr(sys, "pycache_prefix", None)
    plain = commands.worker_command()
    assert plain[0] == sys.executable
    assert plain[-1] == str(commands.WORKER)
    assert plain[1] in ("-I", "-P")
    monkeypatch.setattr(sys, "pycache_prefix", "/cache")
    assert "pycache_prefix=/cache" in commands.worker_command()


def test_the_supervisor_is_isolated_and_gets_its_numbers() -> None:
    """Contract, state, lock, listener, what it adopts, then the worker's command."""
    command = commands.supervisor_command(Path("/state"), 3, -1, ["python", "worker.py"])
    at = command.index(str(commands.SUPERVISOR))
    assert command[1:at] == ["-I", "-S"]
    assert command[at + 1 :] == [
        commands.CONTRACT, "/state", "3", "-1", "-1", "-1", "-1", "python", "worker.py",
    ]  # fmt: skip
    adopting = commands.supervisor_command(Path("/state"), 3, 4, ["w"], adopt=(9, 5, 6))
    assert adopting[at + 3 :] == ["3", "4", "9", "5", "6", "w"]


def test_running_services_name_these_files() -> None:
    """A worker of the version before starts them by path."""
    assert [path.name for path in (commands.SUPERVISOR, commands.WORKER)] == [
        "supervisor.py",
        "worker.py",
    ]
    assert commands.SUPERVISOR.parent.name == commands.WORKER.parent.name == "daemon"
    assert commands.SUPERVISOR.is_file()
    assert commands.WORKER.is_file()
