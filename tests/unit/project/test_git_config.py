"""Git's configuration files, read by hand: broken and missing ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from octet.project import git_config


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"[alias",
        b"[alias]\n=",
        b"\xff\xfe\0",
        b'[alias]\nx = "',
        b"[alias]\nx = \\",
        b"]" * 1000,
    ],
)
def test_broken_files_give_what_they_can(tmp_path: Path, content: bytes) -> None:
    """Garbage is not an error: git will say so itself."""
    path = tmp_path / "config"
    path.write_bytes(content)
    assert isinstance(git_config.section(path, "alias"), dict)


def test_no_file_is_no_section(tmp_path: Path) -> None:
    """A missing file, a directory and a pipe in its place hold nothing."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none", tmp_path, tmp_path / "pipe"):
        assert git_config.section(path, "alias") == {}
