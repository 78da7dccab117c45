"""Git's list of ignored files gets our lines once, and gives them back with every other byte as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from octet.git import exclude

OURS = "/.claude/worktrees/\n/.env.octet\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", OURS),
        ("*.log\n", "*.log\n" + OURS),
        ("*.log", "*.log\n" + OURS),
        ("/.env.octet\n*.log\n", "/.env.octet\n*.log\n/.claude/worktrees/\n"),
        (OURS, OURS),
    ],
)
def test_our_lines_are_added_once(before: str, after: str) -> None:
    assert exclude.add_ours(before) == after
    assert exclude.add_ours(after) == after


@pytest.mark.parametrize("before", ["", "*.log\n", "# /.env.octet\n", "a\r\nb\r\n"])
def test_removing_them_gives_the_list_back(before: str) -> None:
    assert exclude.remove_ours(exclude.add_ours(before)) == before


def test_the_list_lies_in_the_common_directory() -> None:
    assert exclude.path_in(Path("/r/.git")) == Path("/r/.git/info/exclude")
