"""Worktrees from creation to removal, on real repositories and a real server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.store_fixtures import join

from octet.base.errors import LockHeld, Refused
from octet.base.process import host_id
from octet.client.api import Octet, connect
from octet.core.agents.registry import Agent, Registration
from octet.core.tasks.tasks import Task
from octet.git.program import REDIRECTIONS, Git
from octet.git.worktrees import Worktree
from octet.guard.paths import worktree_resource
from octet.project import trust
from octet.project.config import FILE
from octet.project.repository import find_worktree, load_project
from octet.worktree.inventory import diagnose, survey
from octet.worktree.lifecycle import Moved, clean_up_merged, move_in, move_out
from octet.worktree.ownership import is_lock_dead, linked_checkouts
from octet.worktree.ports import allocate_ports, free_dead_ports, free_ports, ports_of
from octet.worktree.rescue import rescues_of
from octet.worktree.setup import run_setup

SETTINGS = """project = "shop"
[worktree]
setup = "echo $PORT; echo run >> set-up.log"
ports = ["PORT", "DB_PORT"]
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An approved repository with one commit, in a directory whose name has a space."""
    for name in REDIRECTIONS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    root = tmp_path / "the shop"
    (root / ".claude").mkdir(parents=True)
    (root / FILE).write_text(SETTINGS)
    (root / ".gitignore").write_text("*.log\n/.env\n/private/\n/.claude/worktrees/\n")
    (root / "a.txt").write_text("a\n")
    git = Git(root)
    git.out("init", "--quiet", "--initial-branch=main")
    git.out("config", "user.name", "Somebody")
    git.out("config", "user.email", "somebody@example.org")
    git.out("add", "--all")
    git.out("commit", "--quiet", "-m", "base")
    trust.approve(load_project(root))
    return root


@pytest.fixture
def octet(root: Path, redis_url: str) -> Iterator[Octet]:
    with connect(root, url=redis_url) as octet:
        yield octet


def developer(octet: Octet) -> Agent:
    return join(octet, host=host_id())


def claim(octet: Octet, agent: Agent, title: str = "work") -> Task:
    octet.tasks.add(title)
    return octet.tasks.claim(agent)


def settle_in(octet: Octet) -> tuple[Agent, Task, Moved]:
    agent = developer(octet)
    task = claim(octet, agent)
    return agent, task, move_in(octet, agent, task)


def only_tree(octet: Octet) -> Worktree:
    assert octet.project
    (tree,) = linked_checkouts(octet.project)
    return tree


def test_a_worktree_is_ready_for_work(octet: Octet, root: Path) -> None:
    """Branch from main's tip, ports in a file that git ignores, set up once, registered, locked for
    others.
    """
    agent, task, moved = settle_in(octet)
    path = Path(moved.path)
    assert path == root / ".claude" / "worktrees" / task.id
    assert moved.branch == f"octet/{task.id}"
    assert Git(path).commit("HEAD") == Git(root).commit("main")
    lines = [
        line for line in (path / ".env.octet").read_text().splitlines() if not line.startswith("#")
    ]
    assert lines == [f"{name}={port}" for name, port in moved.ports.items()]
    assert Git(path).out("status", "--porcelain") == ""
    assert Path(moved.setup.log).read_text() == f"{moved.ports['PORT']}\n"
    registered = octet.agents.get(agent.id)
    assert (registered.worktree, registered.branch) == (moved.path, moved.branch)
    worktree = find_worktree(path)
    assert worktree
    with pytest.raises(LockHeld, match=agent.id):
        octet.locks.acquire(developer(octet), [worktree_resource(worktree)])


def test_asking_again_gives_the_same_and_sets_up_no_second_time(octet: Octet) -> None:
    """The same path and ports; the set-up command has run once."""
    agent, task, moved = settle_in(octet)
    again = move_in(octet, agent, task)
    assert (again.path, again.ports, again.setup.ran) == (moved.path, moved.ports, False)
    assert (Path(moved.path) / "set-up.log").read_text() == "run\n"


def test_a_second_holder_gets_a_worktree_of_its_own(octet: Octet) -> None:
    """Released and claimed by another: the first one's branch and files are left alone."""
    _, task, moved = settle_in(octet)
    (Path(moved.path) / "only copy").write_text("x")
    octet.tasks.release(task.id, task.token)
    other = developer(octet)
    again = move_in(octet, other, octet.tasks.claim(other))
    assert again.path != moved.path
    assert again.branch == f"octet/{task.id}-2"
    assert (Path(moved.path) / "only copy").exists()
    assert not set(again.ports.values()) & set(moved.ports.values())


def test_a_clone_runs_no_command_that_was_not_approved(octet: Octet, root: Path) -> None:
    """The set-up command has changed since the approval: the worktree is made, the command not run,
    and one line says why.
    """
    (root / FILE).write_text(SETTINGS.replace("echo run", "echo pwned"))
    changed = Octet(octet.store.client, "shop", load_project(root))
    agent = developer(changed)
    moved = move_in(changed, agent, claim(changed, agent))
    assert not moved.setup.ran
    assert "octet init" in moved.notices[0]
    assert not (Path(moved.path) / "set-up.log").exists()


@pytest.mark.parametrize(
    ("command", "said"), [("echo why; exit 3", "status 3"), ("sleep 60 & sleep 60", "after 0.2 s")]
)
def test_a_failed_setup_keeps_the_worktree(root: Path, command: str, said: str) -> None:
    """One line names the log; what the command started is ended with it."""
    (root / FILE).write_text(f'project = "shop"\n[worktree]\nsetup = "{command}"\n')
    project = load_project(root)
    trust.approve(project)
    done = run_setup(project, root, root / ".git", {}, limit_s=0.2 if "sleep" in command else 30)
    assert done.ran
    assert said in done.failure
    assert done.log in done.failure


def test_ignored_files_are_copied_as_the_list_says(
    octet: Octet, root: Path, tmp_path: Path
) -> None:
    """Gitignored and named: copied with its mode; not ignored, not named, or leading out of the
    repository: not.
    """
    (root / ".worktreeinclude").write_text(".env\nprivate/**\nnot-ignored\n")
    (tmp_path / "outside").write_text("secret")
    (root / ".env").write_text("KEY=1")
    (root / ".env").chmod(0o600)
    (root / "private").mkdir()
    (root / "private" / "new\nline").write_text("x")
    (root / "private" / "out").symlink_to(tmp_path / "outside")
    (root / "private" / "in").symlink_to("new\nline")
    (root / "not-ignored").write_text("x")
    (root / "other.log").write_text("x")
    _, _, moved = settle_in(octet)
    path = Path(moved.path)
    assert (path / ".env").read_text() == "KEY=1"
    assert (path / ".env").stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in (path / "private").iterdir()) == ["in", "new\nline"]
    assert not (path / "not-ignored").exists()
    assert not (path / "other.log").exists()
    assert any("out of the repository" in notice for notice in moved.notices)


def test_a_branch_with_a_hostile_link_gets_nothing_written_through_it(
    octet: Octet, root: Path, tmp_path: Path
) -> None:
    """`private` is a link out of the worktree on the branch, `.env.octet` one to a file of the
    person: neither is followed.
    """
    (tmp_path / "victim").write_text("mine")
    git = Git(root)
    (root / "private").symlink_to(tmp_path)
    git.out("add", "--force", "private")
    git.out("commit", "--quiet", "-m", "a trap")
    (root / "private").unlink()
    (root / "private").mkdir()
    (root / "private" / "planted").write_text("x")
    (root / ".worktreeinclude").write_text("private/planted\n")
    _, _, moved = settle_in(octet)
    assert not (tmp_path / "planted").exists()
    (Path(moved.path) / ".env.octet").unlink()
    (Path(moved.path) / ".env.octet").symlink_to(tmp_path / "victim")
    agent = octet.agents.list()[0]
    move_in(octet, agent, octet.tasks.held_by(agent.id)[0])
    assert (tmp_path / "victim").read_text() == "mine"


def test_dirty_and_unmerged_work_is_kept_before_removal(octet: Octet, root: Path) -> None:
    """The ref has commit and file, the branch stays, the ports are free, the agent is registered
    elsewhere.
    """
    agent, task, moved = settle_in(octet)
    tree = Git(Path(moved.path))
    tree.out("commit", "--quiet", "--allow-empty", "-m", "half")
    (Path(moved.path) / "new file").write_text("x")
    removed = move_out(octet, only_tree(octet), by=agent)
    assert removed.rescue
    assert removed.rescue.ref == f"refs/octet/rescue/{task.id}/1"
    git = Git(root)
    assert git.out("show", f"{removed.rescue.ref}:new file") == "x"
    assert removed.branch == moved.branch
    assert git.commit(moved.branch)
    assert not Path(moved.path).exists()
    assert ports_of(Path(moved.path)) == {}
    assert octet.agents.get(agent.id).worktree == ""
    assert octet.locks.list() == []
    assert octet.tasks.get(task.id).rescue_ref == removed.rescue.ref
    assert octet.project
    assert [ref for ref, _ in rescues_of(octet.project, task.id)] == [removed.rescue.ref]


@pytest.mark.parametrize("why", ["owner", "locked", "inner repository", "no .git"])
def test_removal_says_why_it_refuses(octet: Octet, root: Path, why: str) -> None:
    """A living owner, a person's lock, what git cannot keep: one line each, and nothing is gone."""
    agent, _, moved = settle_in(octet)
    path, by = Path(moved.path), agent
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
        move_out(octet, only_tree(octet), by=by)
    assert (path / "a.txt").exists()


def test_cleanup_after_a_merge_takes_only_what_nobody_needs(octet: Octet, root: Path) -> None:
    """A merged, clean worktree goes with its branch, though its author has a task again; with new
    work, or under its own task, it stays.
    """
    author, task, moved = settle_in(octet)
    assert "somebody" in clean_up_merged(octet, moved.branch)
    octet.tasks.release(task.id, task.token)
    octet.tasks.add("Next", task_id="next")
    octet.tasks.claim(author, task_id="next")
    (Path(moved.path) / "late").write_text("x")
    assert "not in main" in clean_up_merged(octet, moved.branch)
    (Path(moved.path) / "late").unlink()
    assert clean_up_merged(octet, moved.branch) == ""
    assert not Path(moved.path).exists()
    assert Git(root).commit(moved.branch) == ""


def test_the_survey_tells_owner_work_and_staleness(octet: Octet) -> None:
    """While the agent lives it is the owner; afterwards the worktree is stale, and only what is
    merged may go unasked.
    """
    agent, task, moved = settle_in(octet)
    assert octet.project
    (Path(moved.path) / "new").write_text("x")
    (found,) = survey(octet, octet.project)
    assert (found.owner, found.task, found.changed, found.unmerged, found.stale) == (
        agent.id,
        task.id,
        1,
        0,
        False,
    )
    assert found.bytes > 0
    assert list(diagnose([found], "main")) == []
    octet.agents.bury(agent)
    (found,) = survey(octet, octet.project)
    assert (found.owner, found.made_for, found.stale) == ("", agent.id, True)
    assert [finding.safe for finding in diagnose([found], "main")] == [False]
    (Path(moved.path) / "new").unlink()
    assert [finding.act for finding in diagnose(survey(octet, octet.project), "main")] == ["remove"]


def test_a_persons_own_worktree_is_left_to_them(octet: Octet, root: Path, tmp_path: Path) -> None:
    """Made by hand, in another place: listed, never proposed for tidying."""
    Git(root).out("worktree", "add", "--quiet", "--detach", str(tmp_path / "mine"))
    assert octet.project
    found = survey(octet, octet.project)
    assert [one.name for one in found] == ["mine"]
    assert list(diagnose(found, "main")) == []


def test_a_native_worktree_is_its_agents(octet: Octet, root: Path) -> None:
    """One that the client made, as SessionStart registers it: the owner is known, and a claim
    continues in it.
    """
    path = root / ".claude" / "worktrees" / "agent-x"
    Git(root).out("worktree", "add", "--quiet", "-b", "worktree-agent-x", str(path))
    agent = join(octet, host=host_id(), worktree=str(path), branch="worktree-agent-x")
    assert octet.project
    assert [one.owner for one in survey(octet, octet.project)] == [agent.id]
    moved = move_in(octet, agent, claim(octet, agent))
    assert moved.path == str(path)
    assert Git(path).out("symbolic-ref", "--short", "HEAD") == moved.branch


def test_locks_of_dead_and_of_living_processes() -> None:
    """As the client writes them; a reason of another kind is a person's."""
    process = subprocess.Popen(["sleep", "60"])
    assert not is_lock_dead(f"claude session x (pid {process.pid})")
    assert is_lock_dead(f"claude session x (pid {process.pid} start 1)")
    process.kill()
    process.wait()
    assert is_lock_dead(f"claude agent y (pid {process.pid} start 12345)")
    assert not is_lock_dead("on a stick")


def test_twenty_at_once(octet: Octet) -> None:
    """Twenty agents that start together: twenty worktrees, no port twice."""
    pairs = [(agent, claim(octet, agent)) for agent in (developer(octet) for _ in range(20))]
    with ThreadPoolExecutor(20) as pool:
        moved = list(pool.map(lambda pair: move_in(octet, *pair), pairs))
    ports = [port for one in moved for port in one.ports.values()]
    assert len(set(ports)) == 40
    assert len({one.path for one in moved}) == 20
    assert all(Git(Path(one.path)).out("status", "--porcelain") == "" for one in moved)


def test_ports_are_freed_with_their_worktree(tmp_path: Path) -> None:
    """By removal, or when the directory is gone; the same worktree keeps its own."""
    one, two = tmp_path / "one", tmp_path / "two"
    for tree in (one, two):
        (tree / ".git").mkdir(parents=True)
    first, second = allocate_ports(one, ["PORT"]), allocate_ports(two, ["PORT"])
    assert first != second
    assert allocate_ports(one, ["PORT", "DB"])["PORT"] == first["PORT"]
    free_ports(one)
    assert allocate_ports(two, ["PORT"]) == second
    (two / ".git").rmdir()
    assert list(free_dead_ports()) == list(second.values())


def test_an_agent_elsewhere_owns_nothing_here(octet: Octet) -> None:
    """The same path on another machine is another worktree."""
    _, _, moved = settle_in(octet)
    for agent in octet.agents.list():
        octet.agents.leave(agent)
    octet.agents.register(
        Registration(
            role="developer",
            host="elsewhere-0",
            process="elsewhere-0:1:1",
            pid=1,
            worktree=moved.path,
        )
    )
    assert octet.project
    assert [one.owner for one in survey(octet, octet.project)] == [""]
