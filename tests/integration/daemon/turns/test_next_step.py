"""What follows when a turn ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.integration.daemon.client import Client
from tests.integration.daemon.turns.crew import (
    DEVELOPER,
    feedback,
    held,
    me,
    prompt,
    submit,
)

from octet.client.api import Octet
from octet.core.agents.work_states import CREW_DOWN
from octet.daemon.protocol.wire import Reply
from octet.project.config import FILE


def test_task_after_task_without_a_prompt(one: Client, octet: Octet) -> None:
    """Each Stop hands out the next task, claimed, with all that its developer needs; with none left
    the turn ends.
    """
    octet.tasks.add(
        "first", description="Parse dates.", accept="the tests pass", paths=["src/a.py"]
    )
    octet.tasks.add("second")
    told = feedback(one.stop())
    for part in (
        "task is 1",
        "first",
        "Parse dates.",
        "the tests pass",
        "src/a.py",
        "octet worktree add 1",
        "octet task submit 1",
        "octet agent pause",
    ):
        assert part in told
    assert f"token {octet.tasks.get('1').token}" in told
    assert held(octet) == ["1"]
    submit(octet, "c0ffee")
    assert "task is 2" in feedback(one.stop())
    submit(octet, "c0ffef")
    assert one.stop() == Reply()
    assert held(octet) == []


def test_a_guest_and_a_crew_without_the_loop_are_left_alone(
    sessions: list[Client], octet: Octet, repository: Path
) -> None:
    """No role, or `[crew] loop = false`: work waits, and no agent is told."""
    one, two = sessions
    octet.tasks.add("work")
    one.start()
    assert one.stop() == Reply()
    (repository / FILE).write_text('project = "shop"\n[crew]\nloop = false\n')
    assert "end your turn" not in two.start(agent_type=DEVELOPER)
    assert two.stop() == Reply()
    assert octet.tasks.get("1").state == "pending"


def test_progress_makes_it_a_new_stop(one: Client, octet: Octet) -> None:
    """A report, or a write that the guard let through, between two stops: it is reminded again, and
    not parked.
    """
    octet.tasks.add("work")
    one.stop()
    token = octet.tasks.get("1").token
    assert "still hold task 1" in feedback(one.stop())
    octet.tasks.progress("1", token, 40)
    assert "still hold task 1" in feedback(one.stop())
    assert one.write("a.py") == ""
    assert "still hold task 1" in feedback(one.stop())
    assert feedback(one.stop()) == ""
    assert octet.work_states.get("developer-1").parked


def test_a_crew_that_goes_down_finishes_what_it_holds(one: Client, octet: Octet) -> None:
    """Paused for that, an agent is still told to finish, gives the task back when it does not, and
    is handed nothing more.
    """
    octet.tasks.add("work")
    assert "task is 1" in feedback(one.stop())
    octet.work_states.pause(me(octet), "its crew is going down", CREW_DOWN)
    assert "You still hold task 1" in feedback(one.stop())
    one.stop()
    assert octet.tasks.get("1").state == "pending"
    assert feedback(one.stop()) == ""
    assert held(octet) == []


def test_a_question_during_a_task_is_answered_and_the_task_goes_on(
    one: Client, octet: Octet
) -> None:
    """The prompt says what is held; it is reminded once after the answer; a talk does not park it;
    the next task comes at once.
    """
    octet.tasks.add("work")
    octet.tasks.add("more")
    one.stop()
    assert "you hold task 1 (work; token" in prompt(one, "Which file?")
    assert "answered your person; your task goes on" in feedback(one.stop())
    assert one.stop() == Reply()
    assert octet.work_states.get("developer-1").stopped == ""
    prompt(one, "All right, go on.")
    submit(octet, "c0ffee")
    assert "task is 2" in feedback(one.stop())


def test_what_the_background_wakes_is_not_reminded(one: Client, octet: Octet) -> None:
    """Its tests run in the background: the turn may end, and the task stays its own."""
    octet.tasks.add("work")
    one.stop()
    tests = {"id": "b1", "type": "shell", "status": "running", "description": "pytest"}
    for _ in range(3):
        assert one.stop(background_tasks=[tests]) == Reply()
    assert held(octet) == ["1"]


def test_a_sub_agent_with_a_role_goes_on_and_one_without_ends(one: Client, octet: Octet) -> None:
    """It is handed its next task and stays registered; with none left, or without a role, it
    leaves.
    """
    octet.tasks.add("work")
    for child, kind in (("x1", DEVELOPER), ("x2", "Explore")):
        one.fire("SubagentStart", agent_id=child, agent_type=kind)
    assert (
        one.fire("SubagentStop", agent_id="x2", agent_type="Explore", stop_hook_active=False)
        == Reply()
    )
    end: dict[str, Any] = {"agent_id": "x1", "agent_type": DEVELOPER, "stop_hook_active": False}
    assert "task is 1" in feedback(one.fire("SubagentStop", **end))
    (task,) = octet.tasks.held_by("developer-2")
    octet.tasks.submit(task.id, task.token, branch="b", commit="c0ffee")
    assert one.fire("SubagentStop", **end) == Reply()
    assert [agent.id for agent in octet.agents.list()] == ["developer-1"]


def test_a_lost_hand_out_is_told_again(one: Client, octet: Octet) -> None:
    """The hook was killed after its claim: the agent holds the task, and hears of it at prompt,
    Stop and the session's next begin.
    """
    octet.tasks.add("work", accept="it works")
    octet.tasks.claim(me(octet))
    assert "You hold task 1: work" in one.start("resume", agent_type=DEVELOPER)
    assert "you hold task 1" in prompt(one, "hm")
    assert "still hold task 1" in feedback(one.stop())


def test_mail_comes_before_work(one: Client, octet: Octet) -> None:
    """The turn goes on with the message; the task comes at the next Stop."""
    octet.tasks.add("work")
    octet.messages.send("developer-1", "parse_date is renamed", sender="developer-9")
    assert "parse_date is renamed" in feedback(one.stop())
    assert held(octet) == []
    assert "task is 1" in feedback(one.stop())


def test_nothing_of_the_loop_is_on_the_guards_path(
    one: Client, octet: Octet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guarded tool call neither reads nor writes how its agent stands."""

    def never(*_: object) -> None:
        raise AssertionError

    for name in ("get", "of", "change"):
        monkeypatch.setattr(octet.work_states, name, never)
    assert one.write("a.py") == ""
    assert one.shell("git status") == ""
