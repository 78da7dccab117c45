"""Tokens and budgets with the real client: what its transcripts say is counted, and a budget that
is used up is told to the person.
"""

from __future__ import annotations

import json
from typing import Any

from tests.support.claude import ClaudeHeadless
from tests.support.sandbox import Sandbox
from tests.support.scripted_model import Model, Text, Tool, Turn, marker
from tests.support.waiting import poll

# What the scripted model says of each of its answers.
ANSWER = 110


def sums(sandbox: Sandbox, kind: str) -> dict[str, int]:
    """Tokens by agent, task or day, as the store has them."""
    found: dict[str, str] = sandbox.store.hgetall(sandbox.key(f"cost:{kind}"))
    return {name: sum(map(int, text.split()[:4])) for name, text in found.items()}


def told(client: ClaudeHeadless, event: str) -> list[str]:
    """The lines for the person that the hooks of `event` gave."""
    answers = [
        json.loads(response["output"])
        for response in client.hook_responses(event)
        if response["output"].strip()
    ]
    return [answer["systemMessage"] for answer in answers if "systemMessage" in answer]


def paused(sandbox: Sandbox) -> list[str]:
    """Who is paused."""
    return [
        agent["id"]
        for agent in sandbox.agents()
        if sandbox.store.hget(sandbox.key(f"agents:standing:{agent['id']}"), "paused")
    ]


def total(sandbox: Sandbox, expected: int) -> dict[str, Any]:
    """The sums by agent, once they come to what was expected."""
    poll(lambda: sum(sums(sandbox, "agents").values()) >= expected, f"{expected} tokens")
    return sums(sandbox, "agents")


def test_each_answer_counts_once_for_its_agent_and_task(either_way: Sandbox, model: Model) -> None:
    """A session with several blocks an answer, a task, a sub-agent; resumed, then forked: no copy
    counts.
    """
    task = either_way.add_task("Parse")
    echo = Tool("Bash", {"command": "echo hi", "description": "Say hi"})
    claim = Tool("Bash", {"command": "octet task claim", "description": "Claim"})
    sub = {
        "description": "help",
        "prompt": marker("S") + " go",
        "subagent_type": "general-purpose",
        "run_in_background": False,
    }
    model.script(
        "A",
        Turn(Text("First."), claim),
        Turn(Text("Now."), echo, echo),
        Tool("Agent", sub),
        Text("Done."),
    )
    model.script("S", echo, Text("Helped."))
    model.script("R", Text("Again."))
    model.script("F", Text("A fork."))
    first = either_way.start(None)
    first.send(marker("A") + " go")
    first.wait_for_results(1)
    name = either_way.agent_of(first)["id"]
    session = first.finish()["session_id"]
    assert total(either_way, 6 * ANSWER)[name] >= 4 * ANSWER
    assert sums(either_way, "agents").keys() <= {name, "guest-2"}
    # The claim was asked for by the answer before it.
    assert sums(either_way, "tasks") == {task: 5 * ANSWER}
    either_way.start(marker("R") + " go", "--resume", session).finish()
    total(either_way, 7 * ANSWER)
    either_way.start(marker("F") + " go", "--resume", session, "--fork-session").finish()
    total(either_way, 8 * ANSWER)
    assert sum(sums(either_way, "days").values()) == 8 * ANSWER
    shown = json.loads(either_way.octet("status", "--cost", "--json").stdout)
    assert sum(agent["messages"] for agent in shown["agents"].values()) == 8


def test_a_budget_that_is_used_up_is_told_to_the_person(team: Sandbox, model: Model) -> None:
    """Two sessions: both are paused and told, one at its turn's end or next prompt, the other at
    its own; a greater budget ends it.
    """
    settings = team.repository / ".claude" / "octet.toml"
    before = settings.read_text()
    settings.write_text(before + f"\n[budget]\nday_tokens = {2 * ANSWER}\n")
    for key in "AB":
        model.script(key, *[Text("Hello.")] * 4)
    one, two = (
        team.start(None, "--agent", team.name("developer")),
        team.start(None, "--agent", team.name("architect")),
    )
    two.send(marker("B") + " begin")
    two.wait_for_results(1)
    for count in (1, 2):
        one.send(marker("A") + " go on")
        one.wait_for_results(count)
    poll(lambda: len(paused(team)) == 2, "the whole crew is paused")
    assert [entry["type"] for entry in team.log()].count("budget_exceeded") == 1
    assert "paused" in team.octet("status").stdout
    for client, key, count in ((one, "A", 3), (two, "B", 2)):
        client.send(marker(key) + " and now?")
        client.wait_for_results(count)
        lines = told(client, "Stop") + told(client, "UserPromptSubmit")
        assert lines, "no agent was told"
        assert "tokens are used today" in lines[0]
        assert "octet agent resume --all" in lines[0]
    settings.write_text(before + "\n[budget]\nday_tokens = 1_000_000\n")
    poll(lambda: not paused(team), "the crew goes on")
    one.finish()
    two.finish()
