"""What a session is told at its begin."""

from __future__ import annotations

from pathlib import Path

from tests.integration.daemon.client import Client
from tests.integration.daemon.turns.crew import (
    DEVELOPER,
    feedback,
    me,
)

from octet.client.api import Octet


def test_the_briefing_restores_what_compaction_drops(
    one: Client, octet: Octet, repository: Path
) -> None:
    """Role, task with acceptance and progress, worktree and branch, locks, findings, and what is
    done with it.
    """
    octet.tasks.add("work", accept="the tests pass", paths=["src/a.py"])
    one.stop()
    octet.tasks.progress("1", octet.tasks.get("1").token, 40, "parser done")
    octet.agents.update(me(octet), worktree=str(repository / "trees/1"), branch="octet/1")
    octet.locks.acquire(me(octet), ["path:src/a.py"])
    told = one.start("compact", agent_type=DEVELOPER)
    for part in (
        "you are developer-1",
        "role of developer",
        "task 1: work",
        "the tests pass",
        "40% parser done",
        "path:src/a.py",
        "submit 1",
    ):
        assert part in told
    assert len(told) < 10_000


def test_the_loudest_texts_fit(one: Client, octet: Octet) -> None:
    """A task as long as can be is handed out, and briefed, below the client's limit."""
    octet.tasks.add(
        "t" * 500,
        description="d" * 60_000,
        accept="a" * 2000,
        paths=[f"{'p' * 200}/{n}" for n in range(20)],
    )
    assert len(feedback(one.stop())) < 10_000
    assert len(one.start("compact", agent_type=DEVELOPER)) < 10_000
