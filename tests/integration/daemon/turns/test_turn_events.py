"""Prompts, wakes, pauses and sessions that begin."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.daemon.client import Client
from tests.integration.daemon.turns.crew import (
    DEVELOPER,
    WAKE,
    crew_of,
    feedback,
    held,
    me,
    prompt,
    quiet,
    submit,
)

from octet.client.api import Octet
from octet.core.agents.work_states import CREW_DOWN
from octet.daemon.protocol.wire import Reply
from octet.daemon.turns import work
from octet.daemon.turns.work import has_work


def test_the_pause_of_a_crew_that_went_down_ends_with_its_session(
    one: Client, octet: Octet
) -> None:
    """A conversation that goes on in the next crew works; that a person has paused it stays so."""
    octet.work_states.pause(me(octet), "its crew is going down", CREW_DOWN)
    octet.tasks.add("work")
    assert one.stop() == Reply()
    assert "paused" not in one.start("resume", agent_type=DEVELOPER)
    assert "task is 1" in feedback(one.stop())
    octet.work_states.pause(me(octet), "lunch", by="person-ann")
    assert "You are paused: lunch" in one.start("resume", agent_type=DEVELOPER)


def test_a_paused_agent_is_handed_nothing_until_it_is_resumed(one: Client, octet: Octet) -> None:
    """It keeps what it holds; /clear, compaction and resume change nothing; the briefing says so;
    sub-agents are stopped with it.
    """
    octet.tasks.add("first")
    octet.tasks.add("second")
    one.stop()
    octet.work_states.pause(me(octet), "lunch", by="person-ann")
    assert one.stop() == Reply()
    assert held(octet) == ["1"]
    submit(octet, "c0ffee")
    for source in ("clear", "compact", "resume"):
        one.fire("SessionEnd", reason=source)
        assert "You are paused: lunch" in one.start(source, agent_type=DEVELOPER)
        prompt(one, "what is up?")
        assert one.stop() == Reply()
    one.fire("SubagentStart", agent_id="x1", agent_type=DEVELOPER)
    assert (
        one.fire("SubagentStop", agent_id="x1", agent_type=DEVELOPER, stop_hook_active=False)
        == Reply()
    )
    assert not has_work(octet, me(octet))
    octet.work_states.resume(me(octet))
    assert has_work(octet, me(octet))
    assert "task is 2" in feedback(one.stop())


def test_a_person_comes_first(one: Client, octet: Octet, repository: Path) -> None:
    """An idle agent that was asked something answers, and is handed nothing until the person has
    been silent for a while.
    """
    assert one.stop() == Reply()
    octet.tasks.add("work")
    assert has_work(octet, me(octet))
    prompt(one, "How does the parser work?")
    assert not has_work(octet, me(octet))
    assert one.stop() == Reply()
    assert not has_work(octet, me(octet))
    prompt(one, WAKE)
    assert one.stop() == Reply(), "a machine wake in the middle of a talk brings no work either"
    quiet(repository, 0)
    assert has_work(crew_of(one), me(octet))
    assert "task is 1" in prompt(one, WAKE)


def test_a_wake_brings_the_task_with_it(one: Client, octet: Octet) -> None:
    """A turn that begins by itself begins with the claimed task, mail before it; who is paused or
    talked with gets none.
    """
    assert one.stop() == Reply()
    octet.tasks.add("first")
    octet.work_states.pause(me(octet))
    assert prompt(one, WAKE) == ""
    octet.work_states.resume(me(octet))
    octet.messages.send("developer-1", "look at a.py", sender="developer-2")
    assert "look at a.py" in prompt(one, WAKE)
    assert held(octet) == []
    assert "your next task is 1" in prompt(one, WAKE)
    assert held(octet) == ["1"]
    assert prompt(one, WAKE) == ""
    submit(octet, "c0ffee")
    assert one.stop() == Reply()
    octet.tasks.add("second")
    assert "task is 2" not in prompt(one, "what have you done?")
    assert held(octet) == []


def test_the_prompt_that_begins_a_session_begins_the_work(one: Client, octet: Octet) -> None:
    """`claude --agent octet:developer` and any first prompt; also after a resume."""
    octet.tasks.add("work")
    prompt(one, "Begin.")
    assert "task is 1" in feedback(one.stop())
    submit(octet, "c0ffee")
    one.stop()
    one.start("resume", agent_type=DEVELOPER)
    octet.tasks.add("more")
    prompt(one, "And on.")
    assert "task is 2" in feedback(one.stop())


def test_a_turn_that_was_cut_off_leaves_nobody_asleep(
    one: Client, octet: Octet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Esc in a person's question it may be woken again for work, after an error of the API
    for its task.
    """
    one.stop()
    octet.tasks.add("work")
    prompt(one, "What is it?")
    one.fire("Notification", notification_type="idle_prompt", message="m")
    state = octet.work_states.get("developer-1")
    assert (state.asked, state.talked_ms > 0, state.idle_ms > 0) == (False, True, True)
    octet.work_states.resume(me(octet))
    assert "task is 1" in feedback(one.stop())
    assert not has_work(octet, me(octet))
    one.fire("StopFailure", error="overloaded")
    assert not has_work(octet, me(octet)), "not at once"
    monkeypatch.setattr(work, "CUT_AGAIN_MS", 0)
    assert has_work(octet, me(octet))
    assert "still hold task 1" in feedback(one.stop())
    assert not has_work(octet, me(octet))
