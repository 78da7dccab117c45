"""How a stand-in session carries out the tools of Claude Code."""

from __future__ import annotations

from pathlib import Path

import pytest

from octet.demo.actions import EditFile, RunCommand, WriteFile
from octet.demo.session import as_tool_call, change_file, read_path


def test_a_file_is_written_and_edited(tmp_path: Path) -> None:
    """Directories are made; text that occurs once is replaced."""
    path = tmp_path / "pocket" / "a.py"
    assert change_file(WriteFile(path, "x = 1\n")).ok
    assert change_file(EditFile(path, "1", "2")).ok
    assert read_path(path).text == "x = 2\n"


@pytest.mark.parametrize("old", ["x", "y"])
def test_an_edit_that_does_not_fit_changes_nothing(tmp_path: Path, old: str) -> None:
    """Text that occurs twice in a file, or not at all, is not replaced."""
    (tmp_path / "a").write_text("x x")
    result = change_file(EditFile(tmp_path / "a", old, "z"))
    assert (result.ok, result.denied) == (False, False)
    assert "times" in result.text
    assert (tmp_path / "a").read_text() == "x x"


def test_a_missing_file_is_a_failed_call(tmp_path: Path) -> None:
    """The behaviour goes on without it."""
    assert not read_path(tmp_path / "PLAN.md").ok


def test_the_input_of_a_tool_is_the_clients() -> None:
    """The guard sees the names and fields that Claude Code sends."""
    path = Path("/r/a.py")
    assert as_tool_call(RunCommand("true"))[0] == "Bash"
    assert as_tool_call(WriteFile(path, "x")) == ("Write", {"file_path": "/r/a.py", "content": "x"})
    assert as_tool_call(EditFile(path, "a", "b")) == (
        "Edit",
        {"file_path": "/r/a.py", "old_string": "a", "new_string": "b"},
    )
