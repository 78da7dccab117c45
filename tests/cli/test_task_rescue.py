"""`octet task rescue` as the next holder of a task runs it."""

from __future__ import annotations

from pathlib import Path

from tests.cli.test_worktree import Crew
from tests.cli.test_worktree import crew as crew


def test_a_task_handed_over_with_its_work(crew: Crew) -> None:
    """add, dirty, release: the next claim names the ref, and `rescue` restores the file."""
    crew("planner", "task", "add", "work", "--id", "t")
    crew("dev-1", "task", "claim")
    path = Path(crew.json("dev-1", "worktree", "add")["path"])
    (path / "half done").write_text("half")
    assert "refs/octet/rescue/t/1" in crew("dev-1", "worktree", "snapshot", cwd=path)
    crew("dev-1", "task", "release", "t")
    assert crew.json("dev-2", "task", "claim")["rescue_ref"] == "refs/octet/rescue/t/1"
    assert "not yours" in crew("dev-1", "worktree", "add", "t", code=1)
    following = Path(crew.json("dev-2", "worktree", "add")["path"])
    assert following != path
    assert "worktree of your own" in crew("dev-2", "task", "rescue", "t", code=1)
    crew("dev-2", "task", "rescue", "t", cwd=following)
    assert (following / "half done").read_text() == "half"
    assert "1 file changed" in crew("dev-2", "task", "rescue", "t", "--list")
