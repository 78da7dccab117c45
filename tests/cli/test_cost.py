"""`octet status --cost`, and where else tokens and who leads are shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import Shop
from tests.support.store_fixtures import join

from octet.project.config import FILE, Config
from octet.project.repository import load_project


def use(shop: Shop, tmp_path: Path, config: Config) -> str:
    """An answer of 1,500 tokens for a task; returns the task."""
    agent = join(shop.octet)
    task = shop.octet.tasks.add("Fix the cart")
    shop.octet.tasks.claim(agent)
    usage = {
        "input_tokens": 1000,
        "output_tokens": 300,
        "cache_creation_input_tokens": 150,
        "cache_read_input_tokens": 50,
    }
    transcript = tmp_path / "t.jsonl"
    transcript.write_text(
        json.dumps({"type": "assistant", "message": {"id": "m", "usage": usage}}) + "\n"
    )
    shop.octet.cost.account(agent, transcript, config, task.id, begun=True)
    return task.id


def test_nothing_used(shop: Shop) -> None:
    """A project that has used nothing says so, with the date."""
    shown = shop.run("status", "--cost").out
    assert shown == f"shop: 0 tokens today ({shop.octet.cost.today()} UTC)\n"


def test_what_was_used(shop: Shop, tmp_path: Path) -> None:
    """By day, agent and task, each kind by itself; the task shows its own; as JSON all of it."""
    task = use(shop, tmp_path, Config("shop"))
    today = shop.octet.cost.today()
    lines = shop.run("status", "--cost").out.splitlines()
    assert lines[0] == f"shop: 1,500 tokens today ({today} UTC)"
    rows = [line.split() for line in lines]
    for name in (today, "developer-1", task):
        assert [name, "1,500", "1,000", "300", "150", "50", "1"] in rows
    assert (
        "tokens    1,500 (1,000 in, 300 out, 150 to the cache, 50 from it; 1 answers)"
        in shop.run("task", "show", task).out
    )
    sums = {
        "total": 1500,
        "input": 1000,
        "output": 300,
        "cache_write": 150,
        "cache_read": 50,
        "messages": 1,
    }
    assert shop.json("task", "show", task)["tokens"] == sums
    data = shop.json("status", "--cost")
    assert (data["agents"], data["tasks"], data["days"]) == (
        {"developer-1": sums},
        {task: sums},
        {today: sums},
    )
    assert (data["limits"], data["budgets"]) == ({"task_tokens": 0, "day_tokens": 0}, [])


def test_a_budget_that_is_used_up(shop: Shop, tmp_path: Path) -> None:
    """Both readings say it, with what to do; a greater one, and it is over."""
    settings = shop.root / FILE
    before = settings.read_text()
    settings.write_text(before + "\n[budget]\nday_tokens = 1_000\n")
    use(shop, tmp_path, load_project(shop.root).config)
    for shown in (shop.run("status").out, shop.run("status", "--cost").out):
        assert "budget  paused: 1,500 of 1,000 tokens are used today" in shown
        assert "octet agent resume --all" in shown
    assert "1,500 of 1,000 (150 %) tokens today" in shop.run("status", "--cost").out
    (budget,) = shop.json("status")["budgets"]
    assert (budget["kind"], budget["used"], budget["limit"]) == ("day", 1500, 1000)
    agents = shop.octet.agents.list()
    shop.octet.cost.enforce(agents, load_project(shop.root).config, {})
    assert "developer-1" in shop.run("agent", "resume", "--all").out
    shop.octet.cost.enforce(agents, load_project(shop.root).config, {})
    assert not shop.octet.work_states.get("developer-1").stopped
    assert "no agent was paused" in shop.run("agent", "resume", "--all").out
    assert "paused" not in shop.run("status").out
    shop.refuses("agent", "resume", "--all", "developer-1", code=2)
    settings.write_text(before + "\n[budget]\nday_tokens = 2_000\n")
    assert "paused" not in shop.run("status").out
    settings.write_text(before + '\n[budget]\nday_tokens = "much"\n')
    assert f"{FILE}:" in shop.refuses("status", code=2)


def test_who_leads_is_shown(shop: Shop) -> None:
    """The list, the view of one agent and the answer to `join` name the leader; what an agent on
    standby adds is refused with the leader's name.
    """
    join(shop.octet, "orchestrator")
    env: dict[str, Any] = {"OCTET_AGENT": "second"}
    told = shop.run("agent", "join", "orchestrator", **env).out
    assert told.startswith(
        "you are second (orchestrator) now, on standby: orchestrator-1 has led for"
    )
    assert {a["id"]: a["standing"] for a in shop.json("agent", "list")} == {
        "orchestrator-1": "leads",
        "second": "standby",
    }
    listed = [line.split()[:3] for line in shop.run("agent", "list").out.splitlines()]
    assert ["orchestrator-1", "session", "leads"] in listed
    assert ["second", "external", "standby"] in listed
    assert shop.run("agent", "show", "second").out.startswith(
        "second (orchestrator, standby, external)"
    )
    for words in (["task", "add", "x"], ["task", "claim", "--stage", "plan"]):
        refused = shop.refuses(*words, **env)
        assert "orchestrator-1 has led for" in refused
        assert "(epoch " in refused
    assert shop.json("agent", "leave", "orchestrator-1")["agent"] == "orchestrator-1"
    assert shop.json("task", "add", "x", **env)["created_by"] == "second"
    assert shop.json("agent", "show", **env)["agent"]["standing"] == "leads"
    assert (
        "and you lead (epoch" in shop.run("agent", "join", "orchestrator", OCTET_AGENT="second").out
    )
