"""Work of ended claims on real repositories and a real server: kept, noted, applied."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.worktree.conftest import developer, prepare

from octet.base.errors import NotFound, Refused
from octet.client.api import Octet
from octet.git.program import Git
from octet.worktree.creation import prepare_worktree
from octet.worktree.rescue import (
    apply_rescue,
    list_rescues,
    rescue_claims,
    rescue_held_task,
    rescue_lost_claims,
)


def test_nothing_to_keep(octet: Octet) -> None:
    """A clean worktree leaves no snapshot and no note, whether the task is known or not."""
    _, task, _ = prepare(octet)
    assert rescue_held_task(octet, task.id) is None
    assert rescue_held_task(octet, "no-such-task") is None
    assert octet.tasks.get(task.id).rescue_ref == ""


def test_the_task_names_the_work_of_its_holder(octet: Octet) -> None:
    """Each claim of the agent gets its snapshot; the latest comes first in the list."""
    agent, task, prepared = prepare(octet)
    (Path(prepared.path) / "half").write_text("x")
    rescue_claims(octet, agent, [task])
    ref = octet.tasks.get(task.id).rescue_ref
    assert ref == f"refs/octet/rescue/{task.id}/1"
    assert octet.project
    assert [
        (kept, "1 file changed" in size) for kept, size in list_rescues(octet.project, task.id)
    ] == [(ref, True)]


def test_the_next_holder_is_told_of_work_that_is_kept_late(octet: Octet) -> None:
    """An agent that was declared dead but is alive: its work is kept under its own attempt, and the
    agent that holds the task by then gets a message.
    """
    agent, task, prepared = prepare(octet)
    (Path(prepared.path) / "half").write_text("x")
    octet.tasks.release(task.id, task.token)
    other = developer(octet)
    held = octet.tasks.claim(other)
    rescue_lost_claims(octet, agent, [(held, 1)])
    (message,) = octet.messages.read(other)
    assert f"refs/octet/rescue/{task.id}/1" in message.text
    assert agent.id in message.text


def test_what_cannot_be_applied(octet: Octet, root: Path) -> None:
    """A missing ref is named; conflicting commits are refused, and the worktree stays clean."""
    _, task, prepared = prepare(octet)
    tree = Git(Path(prepared.path))
    (tree.directory / "a.txt").write_text("one way\n")
    tree.out("commit", "--quiet", "-a", "-m", "half")
    rescue_held_task(octet, task.id)
    octet.tasks.release(task.id, task.token)
    (root / "a.txt").write_text("another way\n")
    Git(root).out("commit", "--quiet", "-a", "-m", "main goes on")
    other = developer(octet)
    following = Git(Path(prepare_worktree(octet, other, octet.tasks.claim(other)).path))
    with pytest.raises(NotFound, match="refs/octet/rescue/none"):
        apply_rescue(following, "refs/octet/rescue/none")
    with pytest.raises(Refused, match="conflict with this branch"):
        apply_rescue(following, octet.tasks.get(task.id).rescue_ref)
    assert following.out("status", "--porcelain") == ""
