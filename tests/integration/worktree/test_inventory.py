"""The inventory of real worktrees: owner, work, staleness, and what may be cleaned up."""

from __future__ import annotations

from pathlib import Path

from tests.integration.worktree.conftest import prepare

from octet.client.api import Octet
from octet.core.agents.registry import Registration
from octet.git.program import Git
from octet.worktree.inventory import find_problems, take_inventory


def test_the_inventory_tells_owner_work_and_staleness(octet: Octet) -> None:
    """While the agent lives it is the owner; afterwards the worktree is stale, and only
    merged work may be removed unasked.
    """
    agent, task, prepared = prepare(octet)
    assert octet.project
    (Path(prepared.path) / "new").write_text("x")
    (found,) = take_inventory(octet, octet.project)
    assert (found.owner, found.task, found.changed, found.unmerged, found.stale) == (
        agent.id,
        task.id,
        1,
        0,
        False,
    )
    assert found.bytes > 0
    assert list(find_problems([found], "main")) == []
    octet.agents.expire(agent)
    (found,) = take_inventory(octet, octet.project)
    assert (found.owner, found.made_for, found.stale) == ("", agent.id, True)
    assert [finding.safe for finding in find_problems([found], "main")] == [False]
    (Path(prepared.path) / "new").unlink()
    assert [
        finding.act for finding in find_problems(take_inventory(octet, octet.project), "main")
    ] == ["remove"]


def test_a_persons_own_worktree_is_left_to_them(octet: Octet, root: Path, tmp_path: Path) -> None:
    """Made by hand, in another place: listed, never proposed for tidying."""
    Git(root).out("worktree", "add", "--quiet", "--detach", str(tmp_path / "mine"))
    assert octet.project
    found = take_inventory(octet, octet.project)
    assert [one.name for one in found] == ["mine"]
    assert list(find_problems(found, "main")) == []


def test_an_agent_elsewhere_owns_nothing_here(octet: Octet) -> None:
    """The same path on another machine is another worktree."""
    _, _, prepared = prepare(octet)
    for agent in octet.agents.list():
        octet.agents.leave(agent)
    octet.agents.register(
        Registration(
            role="developer",
            host="elsewhere-0",
            process="elsewhere-0:1:1",
            pid=1,
            worktree=prepared.path,
        )
    )
    assert octet.project
    assert [one.owner for one in take_inventory(octet, octet.project)] == [""]
