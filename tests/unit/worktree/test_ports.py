"""The ports of worktrees."""

from __future__ import annotations

from pathlib import Path

from octet.worktree.ports import allocate_ports, release_orphaned_ports, release_ports


def test_ports_are_released_with_their_worktree(tmp_path: Path) -> None:
    """By removal, or when the directory is gone; the same worktree keeps its own."""
    one, two = tmp_path / "one", tmp_path / "two"
    for tree in (one, two):
        (tree / ".git").mkdir(parents=True)
    first, second = allocate_ports(one, ["PORT"]), allocate_ports(two, ["PORT"])
    assert first != second
    assert allocate_ports(one, ["PORT", "DB"])["PORT"] == first["PORT"]
    release_ports(one)
    assert allocate_ports(two, ["PORT"]) == second
    (two / ".git").rmdir()
    assert list(release_orphaned_ports()) == list(second.values())
