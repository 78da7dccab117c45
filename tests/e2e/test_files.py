"""Files between sessions: who may write what, until when, and what the other model is told."""

from __future__ import annotations

from pathlib import Path

from tests.support.claude import ClaudeHeadless
from tests.support.sandbox import Sandbox
from tests.support.scripted_model import Gate, Model, Text, Tool, Turn, marker
from tests.support.waiting import poll


def write(path: Path, content: str) -> Tool:
    return Tool("Write", {"file_path": str(path), "content": content})


def read(path: Path) -> Tool:
    return Tool("Read", {"file_path": str(path)})


def shell(command: str) -> Tool:
    return Tool("Bash", {"command": command, "description": "Run it"})


def denials(model: Model, session: str) -> list[str]:
    """What the model of `session` was told when a hook refused a call."""
    return [text for text in model.tool_results(session) if text.startswith("PreToolUse:")]


def start_holder(sandbox: Sandbox, path: Path, *arguments: str) -> tuple[ClaudeHeadless, Gate]:
    """Session A, which has written `path` and thinks until the gate is opened."""
    gate = Gate()
    sandbox.model.script("A", write(path, "a = 1\n"), Turn(Text("Wrote it."), gate=gate))
    client = sandbox.start(marker("A") + " write a.py", *arguments)
    gate.await_arrival()
    return client, gate


def test_two_sessions_told_to_write_one_file_write_it_one_after_the_other(
    either_way: Sandbox, model: Model
) -> None:
    """The second is denied with holder and advice while the first is at it, and writes once the
    first is done.
    """
    path, first_is_done, a_has_written, a_thinks = (
        either_way.repository / "a.py",
        Gate(),
        Gate(),
        Gate(),
    )
    model.script("A", write(path, "a = 1\n"), Turn(Text("Wrote it."), gate=a_thinks))
    look, attempt = read(path), write(path, "b = 1\n")
    model.script(
        "B",
        Turn(look, gate=a_has_written),
        attempt,
        Turn(look, gate=first_is_done),
        attempt,
        Text("Wrote it too."),
    )
    first, second = (
        either_way.start(marker("A") + " write a.py"),
        either_way.start(marker("B") + " write a.py"),
    )
    a_thinks.await_arrival()
    holder = either_way.agent_of(first)["id"]
    a_has_written.open()
    first_is_done.await_arrival()

    [denial] = denials(model, "B")
    assert holder in denial
    assert "a.py" in denial
    assert "octet" in denial, "the denial says what to do next"
    assert path.read_text() == "a = 1\n"

    a_thinks.open()
    first.finish()
    first_is_done.open()
    second.finish()
    assert len(denials(model, "B")) == 1
    assert path.read_text() == "b = 1\n"


def test_a_session_never_blocks_itself(team: Sandbox, model: Model) -> None:
    """Every way to write a file it already holds stays open to the holder."""
    path = team.repository / "a.py"
    model.script(
        "A",
        write(path, "a = 1\n"),
        Tool("Edit", {"file_path": str(path), "old_string": "a = 1", "new_string": "a = 2"}),
        shell("echo 'b = 1' >> a.py && cp a.py b.py"),
        write(path, "a = 3\n"),
        Text("Done."),
    )
    team.start(marker("A") + " write").finish()
    assert denials(model, "A") == []
    assert path.read_text() == "a = 3\n"


def test_a_shell_command_that_writes_a_held_file_is_denied(team: Sandbox, model: Model) -> None:
    """What the Write tool may not touch, a redirection may not touch either."""
    path = team.repository / "a.py"
    first, gate = start_holder(team, path)
    model.script("B", shell("cd /tmp && echo 'b = 1' > " + f"'{path}'"), Text("Done."))
    team.start(marker("B") + " write").finish()
    assert len(denials(model, "B")) == 1
    assert path.read_text() == "a = 1\n"
    gate.open()
    first.finish()


def test_same_role_in_the_same_directory_is_still_two_agents(
    either_way: Sandbox, model: Model
) -> None:
    """Two developers of one person are told apart, guarded from each other, and one's Stop frees
    nothing of the other's.
    """
    path, role = either_way.repository / "a.py", either_way.name("developer")
    first, gate = start_holder(either_way, path, "--agent", role)
    model.script("B", read(path), write(path, "b = 1\n"), Text("Could not."))
    second = either_way.start(None, "--agent", role)
    second.send(marker("B") + " write")
    second.wait_for_results(1)

    agents = [either_way.agent_of(client) for client in (first, second)]
    assert [agent["role"] for agent in agents] == ["developer", "developer"]
    assert agents[0]["id"] != agents[1]["id"]
    assert agents[0]["id"] in denials(model, "B")[0]
    assert either_way.holder("a.py") == agents[0]["id"], "B's Stop came after A's write"
    gate.open()
    first.finish()
    second.finish()


def test_subagents_of_one_session_are_guarded_from_each_other(
    either_way: Sandbox, model: Model
) -> None:
    """Each registers under its own name; the parent's Stop and the sibling's end free nothing of
    the one still at work.
    """
    path, thinks, go = either_way.repository / "a.py", Gate(), Gate()
    prompts = [marker("A.1") + " write a.py", marker("A.2") + " write a.py"]
    calls = [
        Tool(
            "Agent", {"description": "Write", "prompt": prompt, "subagent_type": "general-purpose"}
        )
        for prompt in prompts
    ]
    model.script("A", Turn(*calls), Text("Waiting."), Text("Go on."), Text("Done."))
    model.script("A.1", write(path, "a = 1\n"), Turn(Text("Wrote it."), gate=thinks))
    model.script("A.2", Turn(read(path), gate=go), write(path, "b = 1\n"), Text("Could not."))
    client = either_way.start(None)
    client.send(marker("A") + " have it written")
    thinks.await_arrival()
    client.wait_for_results(1)
    go.open()
    model.wait_for_requests("A.2", 3)

    holder = either_way.holder("a.py")
    [entry] = [agent for agent in either_way.agents() if agent["id"] == holder]
    assert entry["kind"] == "subagent"
    assert holder in denials(model, "A.2")[0]
    client.wait_for_results(2)  # the parent has heard of A.2's end, and stopped again
    assert either_way.holder("a.py") == holder
    thinks.open()
    client.wait_for_results(3)
    poll(
        lambda: not [agent for agent in either_way.agents() if agent["kind"] == "subagent"],
        "both sub-agents gone from the registry",
    )
    assert either_way.holder("a.py") == ""
    client.finish()


def test_subagents_in_worktrees_of_their_own_write_the_same_path(
    team: Sandbox, model: Model
) -> None:
    """Where no write can overwrite another, none is denied; the shared checkout stays as it was."""
    calls = [
        Tool(
            "Agent",
            {
                "description": "Write",
                "prompt": marker(f"A.{n}"),
                "subagent_type": "general-purpose",
                "isolation": "worktree",
            },
        )
        for n in (1, 2)
    ]
    gates = [Gate(), Gate()]
    model.script("A", Turn(*calls), Text("Waiting."))
    for number, gate in enumerate(gates, 1):
        write_it = Tool("Write", {"file_path": "a.py", "content": f"a = {number}\n"})
        model.script(f"A.{number}", write_it, Turn(Text("Wrote it."), gate=gate))
    client = team.start(marker("A") + " have it written")
    for gate in gates:
        gate.await_arrival()
    assert denials(model, "A.1") + denials(model, "A.2") == []
    written = {
        path.read_text() for path in (team.repository / ".claude" / "worktrees").glob("*/a.py")
    }
    assert written == {"a = 1\n", "a = 2\n"}
    assert not (team.repository / "a.py").exists()
    for gate in gates:
        gate.open()
    client.finish()


def test_the_guard_outlives_daemon_and_server(team: Sandbox, model: Model) -> None:
    """Daemon and Redis killed between two sessions' writes: the second is still denied, by the
    first's name.
    """
    path = team.repository / "a.py"
    first, gate = start_holder(team, path)
    holder = team.agent_of(first)["id"]
    team.kill_services()
    model.script("B", read(path), write(path, "b = 1\n"), Text("Could not."))
    team.start(marker("B") + " write").finish()
    assert holder in denials(model, "B")[0]
    gate.open()
    first.finish()
