"""Records of ownership, and the locks that processes leave on worktrees."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from octet.base.process import host_id
from octet.project.repository import Worktree
from octet.worktree.ownership import (
    RECORD,
    Ownership,
    is_lock_dead,
    is_this_host,
    read_ownership,
    write_ownership,
)


def test_locks_of_dead_and_of_living_processes() -> None:
    """As the client writes them; a reason of another kind is a person's."""
    process = subprocess.Popen(["sleep", "60"])
    assert not is_lock_dead(f"claude session x (pid {process.pid})")
    assert is_lock_dead(f"claude session x (pid {process.pid} start 1)")
    process.kill()
    process.wait()
    assert is_lock_dead(f"claude agent y (pid {process.pid} start 12345)")
    assert not is_lock_dead("on a stick")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"task": 1}', "\0"])
def test_an_unreadable_record_is_none(tmp_path: Path, text: str) -> None:
    """It is treated like a worktree that Octet did not make; writing replaces it."""
    worktree = Worktree(tmp_path, "t", tmp_path, tmp_path, False)
    (tmp_path / RECORD).write_text(text)
    assert read_ownership(worktree) is None
    write_ownership(worktree, Ownership("7", 2, "developer-1"))
    assert read_ownership(worktree) == Ownership("7", 2, "developer-1")


def test_a_host_is_the_same_after_a_boot() -> None:
    """Only the last part of a host's id changes then; an agent without a process has no host."""
    machine, _, boot = host_id().rpartition("-")
    assert is_this_host(f"{machine}-{boot}x")
    assert is_this_host("")
    assert not is_this_host(f"x{machine}-{boot}")
