"""Process identity: never mistaken for another process of the same pid."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from octet.base import process
from octet.base.process import ProcessIdentity

SLEEPER = [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"]


def identity_of(pid: int) -> ProcessIdentity:
    found = process.identify(pid)
    assert found is not None
    return found


def test_the_own_process_is_alive_and_its_text_reads_back() -> None:
    """An identity survives being stored as text."""
    me = identity_of(os.getpid())
    assert process.is_alive(me)
    assert ProcessIdentity.parse(str(me)) == me
    assert me.host == process.host_id()


def test_the_same_pid_with_another_start_time_is_another_process() -> None:
    """A pid given again does not keep the dead alive."""
    me = identity_of(os.getpid())
    assert not process.is_alive(replace(me, start=me.start + 1))


def test_a_killed_process_is_dead_already_as_a_zombie() -> None:
    """A process not yet waited for is dead all the same."""
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE) as child:
        found = identity_of(child.pid)
        assert process.is_alive(found)
        child.kill()
        deadline = time.monotonic() + 10
        while process.is_alive(found) and time.monotonic() < deadline:
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and left as a zombie
        assert not process.is_alive(found)
        assert process.identify(child.pid) is None
    assert not process.is_alive(found)


def test_another_hosts_process_counts_as_alive() -> None:
    """This machine never declares another one's process dead."""
    assert process.is_alive(ProcessIdentity("elsewhere-00000000", 1, 1))


@pytest.mark.parametrize("pid", [0, -1, 2**31 - 1])
def test_no_process_has_no_identity(pid: int) -> None:
    """Pids that cannot be running give None and no ancestors."""
    assert process.identify(pid) is None
    assert process.ancestors(pid) == []


@pytest.mark.parametrize("text", ["", "x", "a:b:c", ":1:2", "a:1:"])
def test_a_text_that_is_no_identity_is_refused(text: str) -> None:
    """Garbage from the store is a ValueError, not a wrong identity."""
    with pytest.raises(ValueError):  # noqa: PT011 - int() and unpacking word it as they like
        ProcessIdentity.parse(text)


def test_ancestors_lead_from_the_parent_upwards() -> None:
    """The parent comes first, and a child's ancestors include this process."""
    assert process.ancestors(os.getpid())[0] == os.getppid()
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE) as child:
        assert process.ancestors(child.pid)[0] == os.getpid()
        child.kill()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_a_command_name_with_parentheses_does_not_confuse(tmp_path: Path) -> None:
    """The start time is found behind a program's name made of parentheses and spaces."""
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as child:
        try:
            assert process.ancestors(child.pid)[0] == os.getpid()
            assert process.is_alive(identity_of(child.pid))
        finally:
            child.kill()


def test_ps_tells_the_same_story(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc the identity comes from ps: same parent, stable start time, dead when gone."""
    parents = process.ancestors(os.getpid())
    monkeypatch.setattr(process, "_LINUX", False)
    me = identity_of(os.getpid())
    assert process.is_alive(me)
    assert process.ancestors(os.getpid()) == parents
    assert abs(me.start - time.time()) < 86400
    assert process.identify(2**31 - 1) is None
