"""`octet daemon …` and `octet hook …`, as commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from octet.daemon.process import control
from octet.project import trust
from octet.project.repository import load_project

from .machine import GUARD, Machine
from .test_pipe import ODD_PAYLOADS


class Command:
    """Runs `octet` in a machine's repository."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def __call__(
        self, *words: str, stdin: bytes = b"", code: int = 0, cwd: Path | None = None
    ) -> str:
        done = subprocess.run(
            [str(self.machine.octet), *words],
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
            cwd=cwd or self.machine.repository,
            env=self.machine.environment,
        )
        assert done.returncode == code, done
        assert b"Traceback" not in done.stderr
        return done.stdout.decode()

    def json(self, *words: str, **options: Any) -> Any:
        return json.loads(self(*words, "--json", **options))


@pytest.fixture
def octet(embedded_home: Path, tmp_path: Path) -> Iterator[Command]:
    machine = Machine(tmp_path, embedded_home)
    machine.environment |= {"OCTET_HOME": os.environ["OCTET_HOME"], "CLAUDE_PID": str(os.getpid())}
    machine.use_real_octet()
    trust.approve(load_project(machine.repository))
    yield Command(machine)
    control.stop()


def test_a_daemons_life(octet: Command) -> None:
    """start, status, logs, stop: for people and as JSON."""
    assert octet.json("daemon", "status") == {"running": False}
    assert "no daemon" in octet("daemon", "status")
    started = octet.json("daemon", "start")
    assert octet.json("daemon", "start")["pid"] == started["pid"]
    status = octet.json("daemon", "status")
    assert status["running"]
    assert {
        "pid",
        "supervisor",
        "version",
        "uptime_s",
        "agents",
        "requests",
        "memory_kb",
    } < status.keys()
    assert str(status["pid"]) in octet("daemon", "status")
    assert "serves as pid" in octet("daemon", "logs")
    assert octet("daemon", "logs", "-n", "0") == ""
    assert octet.json("daemon", "stop") == {"stopped": True}
    assert octet.json("daemon", "stop") == {"stopped": False}
    assert "daemon ends" in octet("daemon", "logs", "-n", "1")


def test_starting_records_the_interpreter_for_hooks(octet: Command) -> None:
    """Its three lines; the launcher then finds everything."""
    (octet.machine.state / "interpreter").unlink()
    octet("daemon", "start")
    python, package, command = (octet.machine.state / "interpreter").read_text().splitlines()
    assert os.access(python, os.X_OK)
    assert (Path(package) / "octet").is_dir()
    assert Path(command).name == "octet"
    assert octet.machine.run("Stop", octet.machine.recorded("stop")).code == 0


def test_logs_are_followed_through_their_rotation(octet: Command) -> None:
    """Lines of the file that takes the place of the one being read."""
    log = octet.machine.state / "daemon.log"
    log.write_text("old\n")
    follower = subprocess.Popen(
        [str(octet.machine.octet), "daemon", "logs", "-f", "-n", "1"],
        cwd=octet.machine.repository,
        env=octet.machine.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout
    assert follower.stdout.readline() == "old\n"
    log.rename(log.with_name("daemon.log.1"))
    log.write_text("new\nhalf")
    assert follower.stdout.readline() == "new\n"
    with log.open("a") as file:
        file.write(" line\n")
    assert follower.stdout.readline() == "half line\n"
    follower.kill()
    follower.communicate()


def test_a_hook_by_hand_says_what_the_launcher_says(octet: Command) -> None:
    """The same answers, and a daemon that is started when there is none."""
    assert octet("hook", GUARD, stdin=octet.machine.recorded("pre_tool_use_write")) == ""
    another_client = {
        **octet.machine.environment,
        "CLAUDE_PID": "1",
    }  # else it would be the same event, handed over twice
    for payload in ODD_PAYLOADS.values():
        said = octet("hook", GUARD, stdin=payload)
        assert "deny" in said
        assert said.encode() == octet.machine.run(GUARD, payload, environment=another_client).out


def test_a_hook_by_hand_is_silent_elsewhere(octet: Command) -> None:
    """In a repository that has not opted in, or is not approved."""
    assert octet("hook", GUARD, stdin=b"{}", cwd=octet.machine.elsewhere) == ""
    trust.revoke(octet.machine.repository)
    assert octet("hook", GUARD, stdin=b"{}") == ""
    assert octet.json("daemon", "status") == {"running": False}


def test_a_daemon_that_cannot_start_is_one_line(octet: Command) -> None:
    """And exit code 1; a hook by hand follows the failure policy."""
    (octet.machine.state / "daemon.lock").mkdir(parents=True)
    octet("daemon", "start", code=1)
    assert "deny" in octet("hook", GUARD, stdin=octet.machine.recorded("pre_tool_use_write"))
    (octet.machine.state / "daemon.lock").rmdir()


def test_one_command_needs_only_what_it_uses() -> None:
    """The daemon's client imports neither redis nor rich: every `octet` would pay for that."""
    script = (
        "import sys; import octet.cli.daemon; print(*{'redis', 'rich', 'git'} & set(sys.modules))"
    )
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
