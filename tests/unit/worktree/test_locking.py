"""File locks between processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from octet.base.errors import Refused
from octet.worktree.locking import file_lock


def test_a_lock_that_is_kept_too_long(tmp_path: Path) -> None:
    """The refusal names the file; once it is released, the lock can be taken."""
    path = tmp_path / "a.lock"
    with file_lock(path, 1), pytest.raises(Refused, match=r"a\.lock"), file_lock(path, 0):
        raise AssertionError("two hold it")
    with file_lock(path, 0):
        pass
