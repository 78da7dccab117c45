"""What an agent is told after compaction and after its end: role, task, locks, mail, pause."""

from __future__ import annotations

import json

import pytest
from tests.support.claude import ClaudeHeadless
from tests.support.sandbox import Sandbox, git
from tests.support.scripted_model import Block, Gate, Model, Text, Turn, marker
from tests.support.waiting import poll

from .test_loop import ADD, WithTask, bash

LOCK = "octet lock acquire name:schema"
DRAFT = "echo draft > .claude/worktrees/{0}/draft.py"


def at_work(
    team: Sandbox, model: Model, prompt: str, *arguments: str
) -> tuple[ClaudeHeadless, str]:
    """A developer with a task, a worktree with a draft in it and a lock, paused in its turn, with a
    message that waits; and its task.
    """
    task = json.loads(
        team.octet("task", "add", "Parse", "--accept", "ISO dates are read", "--json").stdout
    )["id"]
    gate = Gate()
    first = [bash("octet agent join developer")] if not arguments else []
    steps: list[Turn | Block] = [
        WithTask(model, "A", ADD),
        WithTask(model, "A", DRAFT),
        bash(LOCK),
    ]
    model.script(
        "A",
        *first,
        Text("Ready."),
        *steps,
        WithTask(model, "A", "octet task progress {0} 40 --note 'lexer done'", gate),
    )
    client = team.start(None, *arguments)
    client.send(prompt)
    gate.await_arrival()
    agent = team.agent_of(client)["id"]
    team.octet("agent", "pause", agent, "--reason", "lunch")
    gate.open()
    client.wait_for_results(1)
    team.store.xadd(
        team.key(f"inbox:{agent}"), {"from": "me", "text": "parse_date is renamed"}
    )  # by hand: it wakes no agent
    return client, task


def test_compaction_restores_all_of_it(team: Sandbox, model: Model) -> None:
    """The first request after it names role, task, progress, locks, mail and pause, each once."""
    client, task = at_work(team, model, marker("A") + " begin", "--agent", team.name("developer"))
    model.summarise_as(marker("A") + " We talked.")
    client.send("/compact")
    client.wait_for_results(2)
    before = len(model.requests_of("A"))
    client.send("What now?")
    told = "\n".join(model.wait_for_requests("A", before + 1).texts())
    for part in (
        *("you are developer-1", "in the role of developer", "You are paused: lunch"),
        *(
            f"You hold task {task}: Parse",
            "ISO dates are read",
            "40% lexer done",
            f"octet task submit {task}",
        ),
        *("Your worktree is", "You have locked name:schema", "> parse_date is renamed"),
    ):
        assert told.count(part) == 1, part
    client.finish()


@pytest.mark.parametrize("joined", [False, True])
def test_a_killed_session_that_is_resumed_is_told_all_of_it(
    team: Sandbox, model: Model, joined: bool
) -> None:
    """It has its name, role, pause and mail again; its task waits with what it had not finished."""
    if joined:
        client, task = at_work(team, model, f"/{team.name('join')} developer {marker('A')}")
    else:
        client, task = at_work(
            team, model, marker("A") + " begin", "--agent", team.name("developer")
        )
    session = str(team.agent_of(client)["session"])
    client.kill()
    before = len(model.requests_of("A"))
    again = team.start(None, "--resume", session)
    again.send(marker("A") + " on")
    told = "\n".join(model.wait_for_requests("A", before + 1).texts())
    poll(lambda: team.task(task)["state"] == "pending", "the task is given back")
    assert team.agent_of(again)["id"] == "developer-1"
    for part in (
        "you are developer-1",
        "in the role of developer",
        "You are paused: lunch",
        "> parse_date is renamed",
    ):
        assert part in told, part
    assert team.store.scard(team.key("locks:agent:developer-1")) == 0
    assert git(team.repository, "show", f"{team.task(task)['rescue_ref']}:draft.py") == "draft\n"
    again.finish()
