"""The file that git's hooks read: shell assignments of processes, repositories and worktrees."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.daemon.fakes import agent

from octet.base.process import ProcessIdentity, host_id
from octet.daemon.liveness.fence_cache import FILE, FenceCache, FenceEntries


def read(state: Path) -> dict[str, str]:
    """The assignments as a shell reads them."""
    words = shlex.split((state / FILE).read_text())
    return dict(word.split("=", 1) for word in words)


def test_all_projects_stand_in_one_file(tmp_path: Path) -> None:
    """Each word between two separators; a quote in a path harms nothing."""
    shop = FenceEntries({7}, {"/shop's"}, {("7", "/trees/1")})
    bank = FenceEntries({8}, set(), {("script-1", "/trees/2")})
    cache = FenceCache(tmp_path)
    cache.write([shop, bank])
    assert read(tmp_path) == {
        "octet_pids": " 7 8 ",
        "octet_held": "\n/shop's\n",
        "octet_trees": "\n7 /trees/1\nscript-1 /trees/2\n",
    }
    assert (cache.has(7), cache.has(9)) == (True, False)
    cache.write([])
    assert set(read(tmp_path).values()) == {""}


def test_an_agent_is_named_by_its_process_else_by_its_id() -> None:
    """Its worktree is named where it is this machine's."""
    entries = FenceEntries()
    entries.add(replace(agent(), worktree="/w/1", host=host_id()), ProcessIdentity("h", 7, 1))
    entries.add(replace(agent("script-1"), worktree="/w/2"), None)
    entries.add(replace(agent("developer-9"), worktree="/w/3", host="elsewhere"), None)
    assert entries == FenceEntries({7}, set(), {("7", "/w/1"), ("script-1", "/w/2")})


def test_a_file_that_cannot_be_written_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The hooks then ask more often; nothing fails."""
    (tmp_path / FILE).mkdir()
    cache = FenceCache(tmp_path)
    cache.write([FenceEntries({7})])
    assert "cannot write" in caplog.text
    assert not cache.has(7)
