"""The whole way: launcher, pipe, daemon, service, store. The store may be down or silent; the input
may be anything.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from octet.daemon.process import control
from octet.project import trust
from octet.project.repository import load_project

from .machine import EVENTS, GUARD, PAYLOADS, Machine
from .test_cold import assert_failure_policy, run_in_time
from .test_pipe import ODD_PAYLOADS


@pytest.fixture
def whole(embedded_home: Path, tmp_path: Path) -> Iterator[Machine]:
    """A machine with the real service and its own embedded server, started by the first hook."""
    machine = Machine(tmp_path, embedded_home)
    machine.environment |= {"OCTET_HOME": os.environ["OCTET_HOME"], "CLAUDE_PID": str(os.getpid())}
    machine.use_real_octet()
    shutil.rmtree(machine.repository / ".git")
    subprocess.run(
        ["git", "init", "-q", "-b", "main"],
        cwd=machine.repository,
        env=machine.environment,
        check=True,
    )
    trust.approve(load_project(machine.repository))
    yield machine
    control.stop()


def test_every_recorded_payload_is_answered(whole: Machine) -> None:
    """Each that the real client has sent."""
    for path in sorted(PAYLOADS.glob("*.json")):
        payload = whole.recorded(path.stem)
        event = json.loads(payload)["hook_event_name"]
        if event in EVENTS:
            answer = run_in_time(whole, event, payload)
            assert answer.code == 0, answer
    assert whole.command_runs == 1


@pytest.mark.parametrize("name", ODD_PAYLOADS)
def test_what_cannot_be_read_is_blocked(name: str, whole: Machine) -> None:
    """At the guard; anywhere else it holds up nothing."""
    assert run_in_time(whole, GUARD, ODD_PAYLOADS[name]).blocks
    assert not run_in_time(whole, "Stop", ODD_PAYLOADS[name]).blocks


def test_a_write_with_a_field_missing_is_not_let_through(whole: Machine) -> None:
    """What the guard needs it insists on; what it does not need it does not ask for."""
    needed = {"tool_name", "tool_input"}
    for field in json.loads(whole.recorded("pre_tool_use_write")):
        answer = run_in_time(whole, GUARD, whole.recorded("pre_tool_use_write", **{field: None}))
        assert field not in needed or answer.blocks, field
    assert run_in_time(
        whole, GUARD, whole.recorded("pre_tool_use_write", tool_input={"content": "x"})
    ).blocks


@pytest.mark.parametrize("size", [10, 10_000_000])
def test_a_file_that_another_session_holds_is_denied(size: int, whole: Machine) -> None:
    """However large the write is."""
    with subprocess.Popen(["sleep", "60"]) as other:
        theirs = {**whole.environment, "CLAUDE_PID": str(other.pid)}
        write = {"file_path": str(whole.repository / "a.py"), "content": "x" * size}
        whole.run("SessionStart", whole.recorded("session_start_startup"))
        whole.run(
            "SessionStart",
            whole.recorded("session_start_startup", session_id="other"),
            environment=theirs,
        )
        assert not run_in_time(
            whole, GUARD, whole.recorded("pre_tool_use_write", tool_input=write)
        ).blocks
        again = whole.recorded("pre_tool_use_write", tool_input=write, session_id="other")
        assert run_in_time(whole, GUARD, again, environment=theirs).blocks
        other.kill()


def test_two_hundred_writes_at_once(whole: Machine) -> None:
    """From nothing but a session: one daemon, one server, all the session's own writes allowed."""
    run_in_time(whole, "SessionStart", whole.recorded("session_start_startup"))
    answers = whole.run_together(200, GUARD, whole.recorded("pre_tool_use_write"))
    assert [answer for answer in answers if answer.code or answer.blocks] == []
    assert whole.command_runs == 1


def test_a_store_that_is_down(whole: Machine, tmp_path: Path) -> None:
    """Every event in time; the guard follows `on_store_down`."""
    whole.environment["OCTET_REDIS_URL"] = f"unix://{tmp_path}/nobody.sock"
    assert_failure_policy(whole, tuple(EVENTS))


def test_a_store_that_accepts_and_never_answers(whole: Machine, short_directory: Path) -> None:
    """A black hole: every event in time, also when many come at once."""
    with socket.socket(socket.AF_UNIX) as hole:
        hole.bind(str(short_directory / "hole"))
        hole.listen(64)
        whole.environment["OCTET_REDIS_URL"] = f"unix://{short_directory}/hole"
        assert_failure_policy(whole, tuple(EVENTS))
        assert all(
            answer.blocks
            for answer in whole.run_together(40, GUARD, whole.recorded("pre_tool_use_write"))
        )
