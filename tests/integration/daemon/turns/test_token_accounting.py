"""What hooks do about tokens and budgets, and about who leads, with transcripts as the client
writes them.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.integration.daemon.client import Client
from tests.support.redis_fixtures import wait_for

from octet.client.api import Octet
from octet.daemon.turns import token_accounting
from octet.project.config import FILE


class Writer:
    """Writes the transcripts of a session and its sub-agents, and fires its events with them."""

    def __init__(self, client: Client, directory: Path) -> None:
        self.client = client
        self.path = directory / f"{client.session}.jsonl"
        self.subagents = directory / client.session / "subagents"
        self.count = 0

    def answer(self, tokens: int, path: Path | None = None) -> None:
        self.count += 1
        entry = {
            "type": "assistant",
            "message": {"id": f"{self.path}{self.count}", "usage": {"output_tokens": tokens}},
        }
        path = path or self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def fire(self, event: str, **fields: Any) -> str:
        return self.client.told(self.client.fire(event, transcript_path=str(self.path), **fields))

    def start(self, **fields: Any) -> str:
        return self.fire("SessionStart", **{"source": "startup", **fields})

    def stop(self) -> str:
        return self.fire("Stop", stop_hook_active=False)


@pytest.fixture
def writers(clients: list[Client], tmp_path: Path) -> list[Writer]:
    return [Writer(client, tmp_path / "transcripts") for client in clients]


def totals(octet: Octet) -> dict[str, int]:
    return {name: tokens.total for name, tokens in octet.cost.agents().items()}


def settled(octet: Octet, expected: dict[str, int]) -> None:
    wait_for(lambda: totals(octet) == expected, f"the sums are {expected}")


def set_budget(repository: Path, setting: str) -> None:
    (repository / FILE).write_text(f'project = "shop"\n[budget]\n{setting}\n')


def test_a_turns_tokens_are_counted_at_its_end(writers: list[Writer], octet: Octet) -> None:
    """With its task; what is written after the hook is read soon, without another event; what was
    there before, not at all.
    """
    one = writers[0]
    one.answer(1000)
    one.start(source="resume", agent_type="octet:developer")
    octet.tasks.add("x", task_id="x")
    octet.tasks.claim(octet.agents.get("developer-1"))
    one.answer(7)
    one.stop()
    settled(octet, {"developer-1": 7})
    one.answer(5)
    settled(octet, {"developer-1": 12})
    assert octet.cost.task("x").total == 12
    one.fire("SessionEnd", reason="other")
    one.answer(3)
    settled(octet, {"developer-1": 15})


def test_sub_agents_have_transcripts_of_their_own(writers: list[Writer], octet: Octet) -> None:
    """One that stops counts for itself, one that was ended without a word and one that is no agent
    for the session.
    """
    one = writers[0]
    one.start()
    one.fire("SubagentStart", agent_id="a1", agent_type="octet:developer")
    one.answer(10)
    one.answer(20, one.subagents / "agent-a1.jsonl")
    one.answer(40, one.subagents / "agent-b2.jsonl")
    one.answer(80, one.subagents / "notes.jsonl")
    one.fire(
        "SubagentStop",
        agent_id="a1",
        agent_type="octet:developer",
        stop_hook_active=False,
        agent_transcript_path=None,
    )
    settled(octet, {"developer-1": 20})
    one.stop()
    one.stop()
    settled(octet, {"developer-1": 20, "guest-1": 50})


@pytest.mark.timeout(60)
def test_a_transcript_that_is_none(writers: list[Writer], octet: Octet) -> None:
    """A pipe, a directory, a relative path, one with another ending: the turn ends as ever."""
    one = writers[0]
    one.start()
    one.path.parent.mkdir()
    os.mkfifo(one.path)
    assert one.stop() == ""
    one.path.unlink()
    one.path.mkdir()
    assert one.stop() == ""
    for name in ("t.jsonl", "/etc/passwd", ""):
        one.path = Path(name)
        assert one.stop() == ""
    assert totals(octet) == {}


def test_the_days_budget_is_said_to_the_person(
    writers: list[Writer], octet: Octet, repository: Path
) -> None:
    """At the turn's end, to the others at their next prompt, once; raised, all go on without
    another event.
    """
    set_budget(repository, "day_tokens = 100")
    one, two, _ = writers
    one.start(agent_type="octet:developer")
    two.start(agent_type="octet:architect")
    one.answer(150)
    told = one.stop() or one.fire("UserPromptSubmit", prompt="and now?")
    for part in ("paused", "150 of 100 tokens", "day_tokens", "octet agent resume --all"):
        assert part in told
    wait_for(lambda: bool(octet.work_states.get("architect-1").paused), "the other is paused")
    assert "150 of 100" in two.fire("UserPromptSubmit", prompt="go on")
    assert two.fire("UserPromptSubmit", prompt="go on") == ""
    set_budget(repository, "day_tokens = 1_000")
    one.stop()
    wait_for(lambda: not octet.work_states.get("architect-1").paused, "it goes on")
    assert not octet.work_states.get("developer-1").paused


def test_budgets_are_looked_at_though_nothing_happens(
    writers: list[Writer], octet: Octet, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle crew is let go on by a greater budget alone, no hook being called."""
    monkeypatch.setattr(token_accounting, "ENFORCE_EVERY_S", 0.05)
    set_budget(repository, "day_tokens = 100")
    one = writers[0]
    one.start(agent_type="octet:developer")
    one.answer(150)
    one.stop()
    wait_for(lambda: bool(octet.work_states.get("developer-1").paused), "it is paused")
    set_budget(repository, "")
    wait_for(lambda: not octet.work_states.get("developer-1").paused, "it goes on")


def test_a_hook_does_not_wait_for_a_slow_store_to_count(
    writers: list[Writer], octet: Octet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is bounded, whatever counting takes; the tokens are counted when it goes
    on.
    """
    one = writers[0]
    one.start()
    one.answer(5)
    held = threading.Event()
    real = type(octet.cost).account

    def slow(*given: Any, **how: Any) -> Any:
        held.wait(20)
        return real(*given, **how)

    monkeypatch.setattr(type(octet.cost), "account", slow)
    assert one.stop() == ""
    assert totals(octet) == {}
    held.set()
    settled(octet, {"guest-1": 5})


def test_an_orchestrator_is_told_whether_it_leads(clients: list[Client]) -> None:
    """The first that it leads, the second who does; when the first has gone, the second by a
    message.
    """
    one, two, three = clients
    assert "in the role of orchestrator, and you lead (epoch " in one.start(
        agent_type="octet:orchestrator"
    )
    waits = two.start(agent_type="octet:orchestrator")
    assert "on standby: orchestrator-1 has led for" in waits
    assert "lead" not in three.start(agent_type="octet:developer")
    one.fire("SessionEnd", reason="other")
    assert "You lead this project as its orchestrator now" in two.told(
        two.fire("UserPromptSubmit", prompt="p")
    )
