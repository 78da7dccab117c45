"""Why an idle agent should be woken."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.daemon.turns.test_wakes import Bench
from tests.integration.daemon.turns.test_wakes import bench as bench

from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.daemon.projects.news import EVERYTHING
from octet.daemon.turns import wake_reasons


@pytest.mark.parametrize("what", ["mail", "task"])
def test_a_pause_during_a_look_counts(
    octet: Octet, bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """What comes after a pause was acknowledged wakes no agent, although the look that finds it
    began before.
    """
    agent = bench.session("developer").agent
    messages, tasks = type(octet.messages), type(octet.tasks)
    waiting, picture = messages.waiting, tasks.fingerprint

    def pause() -> None:
        octet.work_states.pause(agent)

    def look_at_mail(self: Any, asking: Agent) -> int:
        if what == "mail":
            pause()
            octet.messages.send(agent.id, "hello", sender="x")
        return waiting(self, asking)

    def look_at_tasks(self: Any, stage: str) -> str:
        if what == "task":
            pause()
            octet.tasks.add("build it")
        return picture(self, stage)

    bench.close()
    monkeypatch.setattr(messages, "waiting", look_at_mail)
    monkeypatch.setattr(tasks, "fingerprint", look_at_tasks)
    assert wake_reasons.find_reasons(octet, agent, EVERYTHING, None).line == ""
    assert octet.store.client.keys(octet.store.keys.wakes("*")) == []
