"""The loop of a role with the real client: work without a prompt, a stuck model, a person, a pause,
sub-agents.
"""

from __future__ import annotations

import json
import re

from tests.support.sandbox import Sandbox
from tests.support.scripted_model import Block, Gate, Model, Text, Tool, Turn, marker
from tests.support.waiting import poll

from octet.daemon.turns.rules import MAX_REMINDERS

# The client itself ends a turn that hooks have kept going this often without a tool call in
# between.
CLIENT_CAP = 8
SERIES_DEADLINE_S = 100.0
HANDED = re.compile(r"your next task is ([^\s,]+), claimed for you")
COMMIT = "git add . && git -c user.name=T -c user.email=t@example.org commit -q -m Build"
ADD = "octet worktree add {0}"
BUILD = (
    f"(cd .claude/worktrees/{{0}} && touch {{0}}.py && {COMMIT} && octet task submit {{0}} "
    "--note done)"
)


def bash(command: str) -> Tool:
    return Tool("Bash", {"command": command, "description": "Work"})


class WithTask(Turn):
    """A command about the task that the agent was handed last; what it is, is read from what has
    reached the model.
    """

    def __init__(self, model: Model, session: str, command: str, gate: Gate | None = None) -> None:
        super().__init__(gate=gate)
        self._model, self._session, self._command = model, session, command

    def blocks(self) -> list[Block]:
        super().blocks()
        return [bash(self._command.format(handed(self._model, self._session)[-1]))]


def handed(model: Model, session: str) -> list[str]:
    """The tasks that a session was handed, in order."""
    found = [HANDED.findall(text) for text in model.requests_of(session)[-1].texts()]
    return [task for tasks in found for task in tasks]


def standing(sandbox: Sandbox, agent: str) -> dict[str, str]:
    found: dict[str, str] = sandbox.store.hgetall(sandbox.key(f"agents:standing:{agent}"))
    return found


def test_a_session_joined_as_developer_works_three_tasks_without_a_prompt(
    team: Sandbox, model: Model
) -> None:
    """One prompt, to join; task after task is handed to it, built in its worktree and submitted;
    with none left the turn ends.
    """
    tasks = [team.add_task(title) for title in ("Parse", "Render", "Print")]
    works = [
        step
        for _ in tasks
        for step in (WithTask(model, "A", ADD), WithTask(model, "A", BUILD), Text("Submitted."))
    ]
    model.script("A", bash("octet agent join developer"), Text("Joined."), *works)
    result = team.start(f"/{team.name('join')} developer {marker('A')}").finish(SERIES_DEADLINE_S)
    assert result["subtype"] == "success"
    assert handed(model, "A") == tasks, model.tool_results("A")
    assert [team.task(task)["state"] for task in tasks] == ["submitted"] * 3
    assert {team.task(task)["author"] for task in tasks} == {"developer-1"}
    assert all(team.task(task)["commit"] for task in tasks)


def test_an_honest_series_is_longer_than_the_clients_cap(team: Sandbox, model: Model) -> None:
    """The client counts what keeps a turn going only until a tool is used: nine tasks in one
    `claude -p`.
    """
    tasks = [
        json.loads(team.octet("task", "add", f"Decide {n}", "--stage", "design", "--json").stdout)[
            "id"
        ]
        for n in range(CLIENT_CAP + 1)
    ]
    decisions = [
        step
        for _ in tasks
        for step in (
            WithTask(model, "A", "octet task complete {0} --result settled"),
            Text("Decided."),
        )
    ]
    model.script("A", Text("Ready."), *decisions)
    team.start(marker("A") + " begin", "--agent", team.name("architect")).finish(SERIES_DEADLINE_S)
    assert handed(model, "A") == tasks, model.tool_results("A")
    assert {team.task(task)["state"] for task in tasks} == {"done"}


def test_a_model_that_always_stops_is_parked(team: Sandbox, model: Model) -> None:
    """Within the client's cap; its task goes back with a note, the person sees why, and the log has
    it.
    """
    task = team.add_task("Parse")
    client = team.start(marker("A") + " begin", "--agent", team.name("developer"))
    client.finish()
    assert len(model.requests_of("A")) <= min(CLIENT_CAP, MAX_REMINDERS + 2)
    assert team.task(task)["state"] == "pending"
    assert "its agent was parked" in team.task(task)["last_reason"]
    assert "agent_parked" in [event["type"] for event in team.log()]
    assert "developer-1 is parked" in client.hook_responses("Stop")[-1]["stdout"]
    assert "stopped twice" in standing(team, "developer-1")["parked"]


def test_pause_and_leave_stop_it_at_once(team: Sandbox, model: Model) -> None:
    """Paused in the middle of a task it may end that, and is handed nothing more; resumed it goes
    on; after it has left, no more.
    """
    first, second, third = (team.add_task(title) for title in ("Parse", "Render", "Print"))
    gate = Gate()
    model.script(
        *(
            "A",
            Text("Ready."),
            WithTask(model, "A", ADD),
            WithTask(model, "A", BUILD, gate),
            Text("Submitted."),
        ),
        *(
            Text("Going on."),
            WithTask(model, "A", ADD),
            WithTask(model, "A", f"{BUILD} && octet agent leave"),
            Text("Left."),
        ),
    )
    client = team.start(None, "--agent", team.name("developer"))
    client.send(marker("A") + " begin")
    gate.await_arrival()
    ended = (
        client.turns()
    )  # a slow machine may have cut the first Stop short, and woken the session for the task
    agent = team.agent_of(client)["id"]
    team.octet("agent", "pause", agent, "--reason", "lunch")
    gate.open()
    client.wait_for_results(ended + 1)
    assert [team.task(task)["state"] for task in (first, second)] == ["submitted", "pending"]
    assert f"{agent} is paused: lunch" in team.octet("agent", "list").stdout
    team.octet("agent", "resume", agent)
    client.send("Go on.")
    poll(lambda: team.task(second)["state"] == "submitted", "the second task's submission")
    client.finish()
    assert [team.task(task)["state"] for task in (first, second, third)] == [
        "submitted",
        "submitted",
        "pending",
    ]
    assert handed(model, "A") == [first, second]


def test_a_person_comes_first(team: Sandbox, model: Model) -> None:
    """A question to an idle developer is answered, and no task follows the answer; one that came
    meanwhile is not lost.
    """
    gate = Gate()
    model.script("A", Text("Ready."), Turn(Text("It parses dates."), gate=gate), Text("And times."))
    client = team.start(None, "--agent", team.name("developer"))
    client.send(marker("A") + " begin")
    client.wait_for_results(1)
    client.send("What does it parse?")
    gate.await_arrival()
    task = team.add_task("Parse")
    gate.open()
    client.wait_for_results(2)
    client.send("And what else?")
    client.wait_for_results(3)
    assert handed(model, "A") == []
    assert team.task(task)["state"] == "pending"
    client.finish()


def test_a_sub_agent_is_handed_its_next(team: Sandbox, model: Model) -> None:
    """Two tasks in a row, each its own; with none left it ends, and its parent hears of it."""
    tasks = [
        json.loads(team.octet("task", "add", title, "--stage", "design", "--json").stdout)["id"]
        for title in ("Names", "Units")
    ]
    call = {
        "description": "Decide",
        "prompt": marker("A.1") + " decide",
        "subagent_type": team.name("architect"),
    }
    model.script("A", Tool("Agent", call), Text("Waiting."), Text("Done."))
    decisions = [
        step
        for _ in tasks
        for step in (
            WithTask(model, "A.1", "octet task complete {0} --result settled"),
            Text("Decided."),
        )
    ]
    model.script("A.1", Text("Ready."), *decisions)
    team.start(marker("A") + " have it decided").finish(SERIES_DEADLINE_S)
    assert handed(model, "A.1") == tasks
    assert {team.task(task)["state"] for task in tasks} == {"done"}
    assert team.agents() == []
