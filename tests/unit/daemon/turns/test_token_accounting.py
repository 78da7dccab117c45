"""Which transcripts are read for whom; without a store."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.unit.daemon.fakes import agent, project

from octet.core.agents.work_state import Pause, WorkState
from octet.core.usage.cost import PAUSED_BY
from octet.core.usage.transcript_reader import TranscriptReader
from octet.daemon.projects.sessions import Projects, ProjectSession
from octet.daemon.turns.token_accounting import TokenAccounting, budget_notice, has_budget
from octet.project.config import Config


def counting(name: str, counted: list[tuple[str, Path]], gate: threading.Event) -> ProjectSession:
    """A project that notes which transcript it has counted, once the gate is open."""

    def account(_agent: Any, transcript: Path, *_: Any, **__: Any) -> None:
        gate.wait(20)
        counted.append((name, transcript))

    found = project(name)
    store: Any = SimpleNamespace(
        cost=SimpleNamespace(account=account),
        tasks=SimpleNamespace(held_by=lambda _: ()),
        agents=SimpleNamespace(list=lambda: []),
        work_states=SimpleNamespace(of=lambda _: {}),
    )
    found.octet = store
    return found


def test_two_projects_count_the_transcript_of_one_session(tmp_path: Path) -> None:
    """A session that changes its directory works for both; no reading replaces another."""
    counted: list[tuple[str, Path]] = []
    gate, transcript = threading.Event(), tmp_path / "s.jsonl"
    accounting = TokenAccounting(Projects(), TranscriptReader())
    for name in ("first", "shop", "bank"):
        path = tmp_path / "first.jsonl" if name == "first" else transcript
        accounting.account(counting(name, counted, gate), agent(), str(path), wait_s=0)
    gate.set()
    accounting.account(
        counting("last", counted, gate), agent(), str(tmp_path / "l.jsonl"), wait_s=20
    )
    accounting.stop()
    assert {name for name, path in counted if path == transcript} == {"shop", "bank"}


def test_a_budget_pause_is_said_to_the_person() -> None:
    """No other pause is; without a budget nothing need be read."""
    assert budget_notice(agent(), WorkState(Pause("100 of 100 tokens", PAUSED_BY))) == (
        "Octet: developer-1 is paused: 100 of 100 tokens."
    )
    assert budget_notice(agent(), WorkState(Pause("lunch"))) == ""
    assert not has_budget(Config("shop"))
    assert has_budget(Config("shop", budget_task_tokens=1))
