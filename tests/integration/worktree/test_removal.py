"""Worktrees removed on real repositories and a real server: what is kept, what stays, and why."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.worktree.conftest import developer, only_worktree, prepare

from octet.base.errors import Refused
from octet.client.api import Octet
from octet.git.program import Git
from octet.worktree.ports import release_ports
from octet.worktree.removal import clean_up_merged, remove_worktree
from octet.worktree.rescue import list_rescues


def test_dirty_and_unmerged_work_is_kept_before_removal(octet: Octet, root: Path) -> None:
    """The ref has commit and file, the branch stays, the ports are free, the agent is registered
    elsewhere.
    """
    agent, task, prepared = prepare(octet)
    tree = Git(Path(prepared.path))
    tree.out("commit", "--quiet", "--allow-empty", "-m", "half")
    (Path(prepared.path) / "new file").write_text("x")
    removed = remove_worktree(octet, only_worktree(octet), by=agent)
    assert removed.rescue
    assert removed.rescue.ref == f"refs/octet/rescue/{task.id}/1"
    git = Git(root)
    assert git.out("show", f"{removed.rescue.ref}:new file") == "x"
    assert removed.branch == prepared.branch
    assert git.commit(prepared.branch)
    assert not Path(prepared.path).exists()
    assert list(release_ports(Path(prepared.path))) == []
    assert octet.agents.get(agent.id).worktree == ""
    assert octet.locks.list() == []
    assert octet.tasks.get(task.id).rescue_ref == removed.rescue.ref
    assert octet.project
    assert [ref for ref, _ in list_rescues(octet.project, task.id)] == [removed.rescue.ref]


@pytest.mark.parametrize("why", ["owner", "locked", "inner repository", "no .git"])
def test_removal_says_why_it_refuses(octet: Octet, root: Path, why: str) -> None:
    """A living owner, a person's lock, what git cannot keep: one line each, and nothing is gone."""
    agent, _, prepared = prepare(octet)
    path, by = Path(prepared.path), agent
    if why == "owner":
        by = developer(octet)
    if why == "locked":
        Git(root).out("worktree", "lock", "--reason", "on a stick", str(path))
    if why == "inner repository":
        (path / "inner").mkdir()
        Git(path / "inner").out("init", "--quiet")
        (path / "inner" / "f").touch()
    if why == "no .git":
        (path / ".git").unlink()
    with pytest.raises(Refused, match="stays"):
        remove_worktree(octet, only_worktree(octet), by=by)
    assert (path / "a.txt").exists()


def test_cleanup_after_a_merge_takes_only_what_is_unused(octet: Octet, root: Path) -> None:
    """A merged, clean worktree goes with its branch, though its author has a task again; with new
    work, or under its own task, it stays.
    """
    author, task, prepared = prepare(octet)
    assert "an agent is in it" in clean_up_merged(octet, prepared.branch)
    octet.tasks.release(task.id, task.token)
    octet.tasks.add("Next", task_id="next")
    octet.tasks.claim(author, task_id="next")
    (Path(prepared.path) / "late").write_text("x")
    assert "not in main" in clean_up_merged(octet, prepared.branch)
    (Path(prepared.path) / "late").unlink()
    (Path(prepared.path) / "ignored.log").write_text("noise")
    assert clean_up_merged(octet, prepared.branch) == ""
    assert not Path(prepared.path).exists()
    assert Git(root).commit(prepared.branch) == ""


@pytest.mark.parametrize(
    "make", ["changed", "staged", "untracked", "unmerged", "detached", "locked"]
)
def test_cleanup_keeps_work_that_is_nowhere_else(octet: Octet, root: Path, make: str) -> None:
    """The task is done and its worktree has something that main lacks, or a lock: it stays."""
    _, task, prepared = prepare(octet)
    octet.tasks.release(task.id, task.token)
    path = Path(prepared.path)
    tree = Git(path)
    if make in {"changed", "staged"}:
        (path / "a.txt").write_text("new")
    if make == "staged":
        tree.out("add", "a.txt")
    if make == "untracked":
        (path / "new.txt").write_text("new")
    if make == "detached":
        tree.out("checkout", "--quiet", "--detach")
    if make in {"unmerged", "detached"}:
        tree.out("commit", "--quiet", "--allow-empty", "-m", "new")
    if make == "locked":
        Git(root).out("worktree", "lock", prepared.path)
    assert make == "detached" or "stays" in clean_up_merged(octet, prepared.branch)
    assert clean_up_merged(octet, prepared.branch, "0" * 40) == clean_up_merged(
        octet, prepared.branch
    )
    assert path.is_dir()
