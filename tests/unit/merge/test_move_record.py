"""The record of a move: kept while it lasts, left by a kill, unreadable ones ignored."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from octet.merge.move_record import (
    RECORD,
    STILL_RUNNING,
    BranchMove,
    delete_record,
    read_record,
    recorded,
)

MOVE = BranchMove("main", "a" * 40, "b" * 40)


def test_it_is_there_while_the_branch_moves(tmp_path: Path) -> None:
    """Locked by the mover, so that no other takes it for a dead one's; gone at the end."""
    with recorded(tmp_path, MOVE):
        assert read_record(tmp_path) == STILL_RUNNING
    assert read_record(tmp_path) is None
    assert not (tmp_path / RECORD).exists()


def test_it_stays_after_a_failure(tmp_path: Path) -> None:
    """Then it is read, and deleted once the move is recovered."""
    with pytest.raises(ZeroDivisionError), recorded(tmp_path, MOVE):
        raise ZeroDivisionError
    assert read_record(tmp_path) == MOVE
    delete_record(tmp_path)
    assert read_record(tmp_path) is None


def test_a_git_command_keeps_it_locked(tmp_path: Path) -> None:
    """The lock lives as long as any descriptor of it, in whatever process."""
    with pytest.raises(ZeroDivisionError), recorded(tmp_path, MOVE):
        raise ZeroDivisionError
    with open(tmp_path / RECORD) as inherited:
        fcntl.flock(inherited, fcntl.LOCK_EX)
        assert read_record(tmp_path) == STILL_RUNNING
    assert read_record(tmp_path) == MOVE


@pytest.mark.parametrize("text", ["", "{", "[]", '{"branch": 1}', '{"x": "y"}', "\0"])
def test_an_unreadable_record_tells_nothing(tmp_path: Path, text: str) -> None:
    """It counts as none."""
    (tmp_path / RECORD).write_text(text)
    assert read_record(tmp_path) is None
