"""Who a session is: through /clear, compaction, resume and fork; with a role, without one, and with
two installations at once.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from tests.support.claude import ClaudeHeadless
from tests.support.sandbox import BOTH, Sandbox
from tests.support.scripted_model import Gate, Model, Text, Tool, Turn, marker
from tests.support.waiting import poll


def answers(client: ClaudeHeadless, event: str) -> list[dict[str, Any]]:
    """What the hooks of `event` said, those left out that said nothing."""
    return [response for response in client.hook_responses(event) if response["output"].strip()]


def names(sandbox: Sandbox) -> list[str]:
    return [agent["id"] for agent in sandbox.agents()]


def test_a_session_stays_the_same_agent_through_clear_and_compaction(
    either_way: Sandbox, model: Model
) -> None:
    """The session's id changes at /clear, its process does not: one agent, which keeps its task and
    its name.
    """
    task = either_way.add_task("Parse")
    model.script(
        "A", Tool("Bash", {"command": "octet task claim", "description": "Claim"}), Text("Claimed.")
    )
    model.script("B", Text("Still here."))
    model.summarise_as("A task was claimed. " + marker("B"))
    client = either_way.start(None)
    seen = []
    for count, prompt in enumerate(
        [
            marker("A") + " claim",
            "/clear",
            marker("B") + " go on",
            "/compact",
            marker("B") + " go on",
        ],
        1,
    ):
        client.send(prompt)
        client.wait_for_results(count)
        seen.append(either_way.agent_of(client)["id"])
    assert len(set(seen)) == 1
    assert names(either_way) == seen[:1]
    assert either_way.task(task)["holder"] == seen[0]
    assert model.requests_of("B")[-1].says(seen[0]), (
        "after compaction the model is told again who it is"
    )
    client.finish()


def test_a_resumed_session_is_the_agent_it_was_and_a_fork_is_another(
    team: Sandbox, model: Model
) -> None:
    """Resumed in a new process it has its old name; forked while that one lives, a new one."""
    gates = {session: Gate() for session in "ARF"}
    for key, gate in gates.items():
        model.script(key, Turn(Text("Hello."), gate=gate))
    first = team.start(marker("A") + " begin")
    gates["A"].await_arrival()
    name = team.agent_of(first)["id"]
    gates["A"].open()
    session = first.finish()["session_id"]
    assert names(team) == []

    resumed = team.start(marker("R") + " go on", "--resume", session)
    gates["R"].await_arrival()
    assert team.agent_of(resumed)["id"] == name
    forked = team.start(marker("F") + " go on", "--resume", session, "--fork-session")
    gates["F"].await_arrival()
    assert team.agent_of(forked)["id"] != name
    assert team.agent_of(resumed)["id"] == name
    for key, client in (("R", resumed), ("F", forked)):
        gates[key].open()
        client.finish()


def test_a_killed_session_that_is_resumed_has_its_name_again(team: Sandbox, model: Model) -> None:
    """The dead one is buried before the living one would be told that its name is taken."""
    gates = {session: Gate() for session in "AR"}
    for key, gate in gates.items():
        model.script(key, Turn(Text("Hello."), gate=gate))
    session = str(uuid.uuid4())
    first = team.start(marker("A") + " begin", "--session-id", session)
    gates["A"].await_arrival()
    name = team.agent_of(first)["id"]
    first.kill()
    resumed = team.start(marker("R") + " go on", "--resume", session)
    gates["R"].await_arrival()
    assert team.agent_of(resumed)["id"] == name
    assert names(team) == [name]
    for gate in gates.values():
        gate.open()
    resumed.finish()


def test_a_session_in_the_terminal_stays_the_same_agent_at_clear(
    team: Sandbox, model: Model
) -> None:
    """The program that a person types into, not only its headless sibling; and it leaves the
    registry at /exit.
    """
    model.script("A", Text("Hello."))
    model.script("B", Text("Hello again."))
    with team.open_terminal() as client:
        client.type_line(marker("A") + " hello")
        model.wait_for_requests("A", 1)
        client.wait_for_screen("Hello.")
        name, session = (team.agent_of(client)[field] for field in ("id", "session"))
        client.type_line("/clear")
        poll(
            lambda: team.agent_of(client)["session"] != session,
            "the new session's id in the registry",
        )
        client.type_line(marker("B") + " hello")
        model.wait_for_requests("B", 1)
        client.wait_for_screen("Hello again.")
        assert names(team) == [name]
        client.leave()
    assert names(team) == []


@pytest.mark.parametrize("role", ["developer", "code-sentinel"])
def test_a_role_comes_from_the_agent_that_the_session_runs_as(
    either_way: Sandbox, model: Model, role: str
) -> None:
    """`--agent octet:developer` with the plugin, `--agent developer` with the drop-in: the same
    role, and the model is told its name.
    """
    gate = Gate()
    model.script("A", Turn(Text("Hello."), gate=gate))
    client = either_way.start(marker("A"), "--agent", either_way.name(role))
    gate.await_arrival()
    agent = either_way.agent_of(client)
    assert agent["role"] == role
    assert model.requests_of("A")[0].says(agent["id"])
    gate.open()
    client.finish()
    assert names(either_way) == [], "a clean end leaves the registry"


@pytest.mark.parametrize("sandbox", [BOTH], indirect=True)
def test_plugin_and_drop_in_together_run_nothing_twice(team: Sandbox, model: Model) -> None:
    """One registration, one greeting, one lock, one denial, one event a Stop."""
    path, gate = team.repository / "a.py", Gate()
    model.script(
        "A",
        Tool("Write", {"file_path": str(path), "content": "a = 1\n"}),
        Turn(Text("Done it once."), gate=gate),
    )
    model.script(
        "B",
        Tool("Read", {"file_path": str(path)}),
        Tool("Write", {"file_path": str(path), "content": "b\n"}),
        Text("Could not."),
    )
    first = team.start(marker("A") + " write")
    gate.await_arrival()
    second = team.start(marker("B") + " write")
    second.finish()
    name = team.agent_of(first)["id"]
    assert name in model.tool_results("B")[-1]
    greeting = [text for text in model.requests_of("A")[0].texts() if name in text]
    assert "".join(greeting).count("SessionStart hook additional context") == 1
    assert len(team.agents()) == 1
    gate.open()
    first.finish()
    assert [response["exit_code"] for response in answers(second, "PreToolUse")] == [0], (
        "one denial, though two hooks were asked"
    )
    assert len(answers(first, "SessionStart")) == 1
    log = [json.dumps(entry) for entry in team.log()]
    assert sum("Done it once." in entry for entry in log) == 1
    assert sum("agent_joined" in entry and name in entry for entry in log) == 1
