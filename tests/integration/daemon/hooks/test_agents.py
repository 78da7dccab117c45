"""Which agent an event comes from: sessions that change, resume or take a role."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.integration.daemon.client import Client, agent, agents

from octet.client.api import Octet
from octet.core.agents.work_states import LEFT


@pytest.mark.parametrize("how", ["clear", "compact", "resume"])
def test_a_process_stays_its_agent_when_its_session_changes(
    clients: list[Client], octet: Octet, how: str
) -> None:
    """/clear, /resume and compaction change the session's id, not who holds the task."""
    one = clients[0]
    one.start()
    octet.tasks.add("work")
    octet.tasks.claim(agent(octet, "guest-1"))
    if how != "compact":
        one.fire("SessionEnd", reason=how)
        one.session = "another"
    assert "you are guest-1" in one.start(how)
    assert agents(octet) == ["guest-1"]
    assert len(octet.tasks.held_by("guest-1")) == 1


def test_one_session_resumed_in_two_terminals_is_two_agents(clients: list[Client]) -> None:
    """The same session id in two living processes: two agents, guarded from each other."""
    one, two, _ = clients
    two.session = one.session
    one.start()
    assert "you are guest-2" in two.start("resume")
    assert one.write("a.py") == ""
    assert "guest-1" in two.write("a.py")


def test_a_session_resumed_after_its_process_was_killed_bears_its_name_again(
    clients: list[Client], octet: Octet, sleeper: subprocess.Popen[bytes]
) -> None:
    """The dead predecessor is buried first, its lock freed, its name free."""
    one, two, _ = clients
    ghost = Client(one.service, one.root, one.url, sleeper.pid, "shared")
    ghost.start()
    ghost.write("a.py")
    sleeper.kill()
    sleeper.wait()
    two.session = "shared"
    assert "you are guest-1" in two.start("resume")
    assert octet.locks.list() == []


@pytest.mark.parametrize("leaves", [False, True])
def test_a_resumed_session_has_its_role_again_unless_it_left_it(
    clients: list[Client], octet: Octet, leaves: bool
) -> None:
    """No event tells a role that was taken by command, nor, when a session is resumed, the one that
    it was started in.
    """
    one, two, _ = clients
    one.start()
    octet.agents.join(agent(octet, "guest-1"), "developer")
    one.write("a.py")
    if leaves:
        octet.work_states.pause(agent(octet, "developer-1"), LEFT)
    one.fire("SessionEnd", reason="prompt_input_exit")
    two.session = one.session
    told = two.start("resume")
    assert ("you are developer-1" in told) == (not leaves)
    assert ("in the role of developer" in told) == (not leaves)


def test_compaction_keeps_what_commands_noted_of_an_agent(
    clients: list[Client], octet: Octet, repository: Path
) -> None:
    """Its worktree, what it can do and who it was before: a session in the main checkout says
    nothing of them at its next start.
    """
    one = clients[0]
    one.start()
    octet.agents.join(agent(octet, "guest-1"), "developer", ["gpu"])
    worktree = repository / "trees/dev-1"
    worktree.mkdir(parents=True)
    (worktree / ".git").touch()
    octet.agents.update(agent(octet, "developer-1"), worktree=str(worktree), branch="octet/1")
    one.start("compact")
    known = agent(octet, "developer-1")
    assert (known.worktree, known.branch, known.capabilities, known.formerly) == (
        str(worktree),
        "octet/1",
        ("gpu",),
        "guest-1",
    )
    (worktree / ".git").unlink()
    one.start("compact")
    assert agent(octet, "developer-1").worktree == ""


def test_an_agent_that_took_a_role_goes_on_under_its_new_name(
    clients: list[Client], octet: Octet
) -> None:
    """`octet agent join` from its own shell: the next write is its, and it is not declared dead."""
    one = clients[0]
    one.start()
    octet.agents.join(agent(octet, "guest-1"), "developer")
    assert one.write("a.py") == ""
    assert octet.locks.list()[0].holder == "developer-1"
