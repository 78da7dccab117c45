"""Worktrees made ready for a task, on real repositories and a real server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.integration.worktree.conftest import SETTINGS, claim, developer, prepare
from tests.support.store_fixtures import join

from octet.base.errors import LockHeld
from octet.base.process import host_id
from octet.client.api import Octet
from octet.git.program import Git
from octet.guard.paths import worktree_resource
from octet.project.config import FILE
from octet.project.repository import find_worktree, load_project
from octet.worktree.creation import prepare_worktree
from octet.worktree.inventory import take_inventory


def test_a_worktree_is_ready_for_work(octet: Octet, root: Path) -> None:
    """Branch from main's tip, ports in a file that git ignores, set up once, registered, locked for
    others.
    """
    agent, task, prepared = prepare(octet)
    path = Path(prepared.path)
    assert path == root / ".claude" / "worktrees" / task.id
    assert prepared.branch == f"octet/{task.id}"
    assert Git(path).commit("HEAD") == Git(root).commit("main")
    lines = [
        line for line in (path / ".env.octet").read_text().splitlines() if not line.startswith("#")
    ]
    assert lines == [f"{name}={port}" for name, port in prepared.ports.items()]
    assert Git(path).out("status", "--porcelain") == ""
    assert Path(prepared.setup.log).read_text() == f"{prepared.ports['PORT']}\n"
    registered = octet.agents.get(agent.id)
    assert (registered.worktree, registered.branch) == (prepared.path, prepared.branch)
    worktree = find_worktree(path)
    assert worktree
    with pytest.raises(LockHeld, match=agent.id):
        octet.locks.acquire(developer(octet), [worktree_resource(worktree)])


def test_asking_again_gives_the_same_and_sets_up_no_second_time(octet: Octet) -> None:
    """The same path and ports; the set-up command has run once."""
    agent, task, prepared = prepare(octet)
    again = prepare_worktree(octet, agent, task)
    assert (again.path, again.ports, again.setup.ran) == (prepared.path, prepared.ports, False)
    assert (Path(prepared.path) / "set-up.log").read_text() == "run\n"


def test_a_second_holder_gets_a_worktree_of_its_own(octet: Octet) -> None:
    """Released and claimed by another: the first one's branch and files are left alone."""
    _, task, prepared = prepare(octet)
    (Path(prepared.path) / "only copy").write_text("x")
    octet.tasks.release(task.id, task.token)
    other = developer(octet)
    again = prepare_worktree(octet, other, octet.tasks.claim(other))
    assert again.path != prepared.path
    assert again.branch == f"octet/{task.id}-2"
    assert (Path(prepared.path) / "only copy").exists()
    assert not set(again.ports.values()) & set(prepared.ports.values())


def test_a_clone_runs_no_command_that_was_not_approved(octet: Octet, root: Path) -> None:
    """The set-up command has changed since the approval: the worktree is made, the command not run,
    and one line says why.
    """
    (root / FILE).write_text(SETTINGS.replace("echo run", "echo pwned"))
    changed = Octet(octet.store.client, "shop", load_project(root))
    agent = developer(changed)
    prepared = prepare_worktree(changed, agent, claim(changed, agent))
    assert not prepared.setup.ran
    assert "octet init" in prepared.notices[0]
    assert not (Path(prepared.path) / "set-up.log").exists()


def test_a_native_worktree_is_its_agents(octet: Octet, root: Path) -> None:
    """One that the client made, as SessionStart registers it: the owner is known, and a claim
    continues in it.
    """
    path = root / ".claude" / "worktrees" / "agent-x"
    Git(root).out("worktree", "add", "--quiet", "-b", "worktree-agent-x", str(path))
    agent = join(octet, host=host_id(), worktree=str(path), branch="worktree-agent-x")
    assert octet.project
    assert [one.owner for one in take_inventory(octet, octet.project)] == [agent.id]
    prepared = prepare_worktree(octet, agent, claim(octet, agent))
    assert prepared.path == str(path)
    assert Git(path).out("symbolic-ref", "--short", "HEAD") == prepared.branch


def test_twenty_at_once(octet: Octet) -> None:
    """Twenty agents that start together: twenty worktrees, no port twice."""
    pairs = [(agent, claim(octet, agent)) for agent in (developer(octet) for _ in range(20))]
    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(lambda pair: prepare_worktree(octet, *pair), pairs))
    ports = [port for one in made for port in one.ports.values()]
    assert len(set(ports)) == 40
    assert len({one.path for one in made}) == 20
    assert all(Git(Path(one.path)).out("status", "--porcelain") == "" for one in made)
