"""Who a command acts for: a name that is given, the session around it, else the person."""

from __future__ import annotations

import getpass
import os

import pytest
from tests.support.store_fixtures import join

from octet.base.errors import UsageError
from octet.base.process import ProcessIdentity, identify
from octet.client.api import Octet
from octet.core.agents.identity import (
    NAMED_LEASE_MS,
    PERSON_LEASE_MS,
    claude_process,
    current_agent,
    process_key,
)


def lease_ms(octet: Octet, agent_id: str) -> int:
    return int(octet.store.client.pttl(octet.store.keys.heartbeat(agent_id)))


def test_a_session_is_its_process(octet: Octet) -> None:
    """CLAUDE_PID names the process; a second command is the same agent, in any session."""
    env = {"CLAUDE_PID": str(os.getpid()), "CLAUDE_CODE_SESSION_ID": "s1"}
    agent = current_agent(octet.agents, env)
    assert (agent.id, agent.kind, agent.session, agent.pid) == (
        "guest-1",
        "session",
        "s1",
        os.getpid(),
    )
    assert agent.process == str(identify(os.getpid()))
    assert current_agent(octet.agents, env | {"CLAUDE_CODE_SESSION_ID": "s2"}) == agent


def test_a_session_that_the_hooks_registered_is_found(octet: Octet) -> None:
    """The command line acts for the agent that the session's own hooks registered."""
    process = identify(os.getpid())
    assert process is not None
    registered = join(octet, "developer", process=process_key(process))
    assert current_agent(octet.agents, {"CLAUDE_PID": str(os.getpid())}) == registered


@pytest.mark.parametrize(
    "pid", ["", "x", "-1", "0", "²", "٣", "1.5", "9" * 5000, "99999999999", "4194305", " 1"]
)
def test_a_pid_that_is_none(octet: Octet, pid: str) -> None:
    """Where CLAUDE_PID names no process, the person is asking."""
    assert claude_process({"CLAUDE_PID": pid}) is None
    assert current_agent(octet.agents, {"CLAUDE_PID": pid}).kind == "person"


def test_a_person(octet: Octet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a session it is the person at the terminal, the same at each command, for a day."""
    monkeypatch.setattr(getpass, "getuser", lambda: "ann")
    agent = current_agent(octet.agents, {})
    assert (agent.id, agent.role, agent.kind) == ("person-ann", "person", "person")
    assert lease_ms(octet, agent.id) > PERSON_LEASE_MS - 60_000
    assert current_agent(octet.agents, {}) == agent


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ("jürgen", "person-j-rgen"),
        ("a b", "person-a-b"),
        ("x" * 300, "person-" + "x" * 57),
        ("", "person-"),
    ],
)
def test_any_user_name_will_do(
    octet: Octet, monkeypatch: pytest.MonkeyPatch, user: str, name: str
) -> None:
    """What cannot stand in an agent's name is replaced."""
    monkeypatch.setattr(getpass, "getuser", lambda: user)
    assert current_agent(octet.agents, {}).id == name


@pytest.mark.parametrize("error", [KeyError, OSError])
def test_a_user_without_a_name(
    octet: Octet, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """In a container a user may have a number only."""

    def no_user() -> str:
        raise error("no user")

    monkeypatch.setattr(getpass, "getuser", no_user)
    assert current_agent(octet.agents, {}).id == f"person-{os.getuid()}"


def test_a_name_that_is_given(octet: Octet) -> None:
    """OCTET_AGENT goes before the session, with a role and a lease where these are given."""
    env = {"OCTET_AGENT": "ci-1", "CLAUDE_PID": str(os.getpid())}
    agent = current_agent(octet.agents, env)
    assert (agent.id, agent.role, agent.kind) == ("ci-1", "guest", "external")
    assert NAMED_LEASE_MS - 60_000 < lease_ms(octet, "ci-1") <= NAMED_LEASE_MS
    current_agent(octet.agents, env | {"OCTET_LEASE_S": "5"})
    assert lease_ms(octet, "ci-1") <= 5000
    assert (
        current_agent(octet.agents, {"OCTET_AGENT": "ci-2", "OCTET_ROLE": "tester"}).role
        == "tester"
    )


def test_a_name_with_a_process_is_that_agent(octet: Octet) -> None:
    """A sub-agent's command names it outright; it is found, not registered anew."""
    child = join(octet, "developer", process="h:1:1#a1")
    assert current_agent(octet.agents, {"OCTET_AGENT": child.id}) == child


@pytest.mark.parametrize(
    "env",
    [
        {"OCTET_AGENT": "a b"},
        {"OCTET_AGENT": "../x"},
        {"OCTET_AGENT": "developer"},
        {"OCTET_AGENT": "x", "OCTET_ROLE": "a\nb"},
        *(
            {"OCTET_AGENT": "x", "OCTET_LEASE_S": text}
            for text in ("x", "nan", "inf", "-1", "0", "1e300", "1_0_0x")
        ),
    ],
)
def test_names_and_leases_that_cannot_be(octet: Octet, env: dict[str, str]) -> None:
    """A bad variable is an error of usage that says which."""
    with pytest.raises(UsageError):
        current_agent(octet.agents, env)
    assert octet.agents.list() == []


def test_a_deleted_directory(octet: Octet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command in a directory that is gone still knows who it is."""
    monkeypatch.setattr(os, "getcwd", lambda: (_ for _ in ()).throw(FileNotFoundError()))
    assert current_agent(octet.agents, {"OCTET_AGENT": "ci"}).cwd == ""


def test_process_keys() -> None:
    """A sub-agent is its session's process and its own id."""
    process = ProcessIdentity("h", 1, 2)
    assert (process_key(process), process_key(process, "a1")) == ("h:1:2", "h:1:2#a1")
