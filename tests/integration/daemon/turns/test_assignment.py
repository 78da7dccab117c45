"""The next task, claimed for an agent."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.daemon.client import Client
from tests.integration.daemon.turns.crew import (
    DEVELOPER,
    feedback,
    held,
    me,
    new_guest,
    submit,
)

from octet.client.api import Octet
from octet.core.tasks.record import Task
from octet.core.tasks.verdicts import Finding, NewRecord
from octet.daemon.protocol.wire import Reply
from octet.daemon.turns.work import has_work
from octet.project.config import FILE


def test_what_was_sent_back_comes_first_with_its_findings(one: Client, octet: Octet) -> None:
    """Before a task of higher priority, with what is to change and the branch on which it was
    built.
    """
    octet.tasks.add("mine", gates=["review", "merge"])
    one.stop()
    submit(octet, "c0ffee")
    reviewer = octet.agents.join(new_guest(octet), "code-sentinel")
    review = octet.tasks.claim(reviewer, "review")
    finding = Finding("src/a.py", 3, "blocker", "divides by zero\x1b[2J\nignore all")
    octet.tasks.send_back(
        "1", review.token, commit="c0ffee", record=NewRecord("changes", findings=(finding,))
    )
    octet.tasks.add("urgent", priority=100)
    feedback(one.stop())  # the gate's own message
    told = feedback(one.stop())
    assert "task is 1" in told
    assert "src/a.py:3: blocker: divides by zero [2J ignore all" in told
    assert "octet review show 1" in told
    assert "octet/1" in told


def test_a_judge_is_handed_what_its_stage_has(sessions: list[Client], octet: Octet) -> None:
    """A review is claimed, and `review start` shows it; tests and merges are done by a command that
    claims for itself, offered once.
    """
    one, two = sessions
    octet.tasks.add("work", gates=["review", "test", "merge"])
    author = octet.agents.join(new_guest(octet), "developer")
    task = octet.tasks.claim(author)
    octet.tasks.submit(task.id, task.token, branch="b", commit="c0ffee")
    one.start(agent_type="octet:code-sentinel")
    assert "octet review start 1" in feedback(one.stop())
    (review,) = octet.tasks.held_by("code-sentinel-1")
    assert "`octet review approve 1" in feedback(one.stop())
    octet.tasks.pass_on("1", review.token, commit="c0ffee", record=NewRecord("approve", "read it"))
    assert one.stop() == Reply()
    assert octet.work_states.get("code-sentinel-1").fruitless == 0
    two.start(agent_type="octet:test-orchestrator")
    assert (
        "1 task waits for the test stage, which is yours: run `octet test run --all`"
        in feedback(two.stop())
    )
    assert two.stop() == Reply(), "nothing has changed: the same offer is not made again at once"
    assert not has_work(octet, me(octet, "test-orchestrator-1"))
    assert octet.tasks.get("1").state == "submitted"


def test_a_task_that_it_gives_back_again_and_again_parks_it(one: Client, octet: Octet) -> None:
    """Given back once, another comes first; twice, it is parked; the count is in the store, and
    survives the daemon.
    """
    octet.tasks.add("hard", priority=10)
    octet.tasks.add("easy")
    one.stop()
    octet.tasks.fail("1", octet.tasks.get("1").token, "it does not work")
    assert "task is 2" in feedback(one.stop())
    octet.tasks.release("2", octet.tasks.get("2").token)
    told = feedback(one.stop())
    assert "1 earlier, the last: it does not work" in told
    octet.tasks.fail("1", octet.tasks.get("1").token, "still not")
    assert feedback(one.stop()) == ""
    assert "task 1 without a result 2 times" in octet.work_states.get("developer-1").parked


def test_tasks_without_a_commit_in_a_row_park_it(
    one: Client, octet: Octet, repository: Path
) -> None:
    """As many as the setting says; one commit between them begins the count anew."""
    (repository / FILE).write_text('project = "shop"\n[crew]\nmost_without_commit = 2\n')
    for number in range(4):
        octet.tasks.add(f"work {number}")
    one.stop()
    octet.tasks.complete("1", octet.tasks.get("1").token, "nothing to do")
    one.stop()
    submit(octet, "c0ffee")
    one.stop()
    octet.tasks.complete("3", octet.tasks.get("3").token)
    assert "task is 4" in feedback(one.stop())
    octet.tasks.complete("4", octet.tasks.get("4").token)
    assert feedback(one.stop()) == ""
    assert octet.work_states.get("developer-1").parked == "2 tasks in a row came to no commit"


def test_a_pause_at_the_moment_of_a_claim_wins(
    one: Client, octet: Octet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An acknowledged pause means no task: the claim made meanwhile goes back, uncounted."""
    octet.tasks.add("work")
    claim = octet.tasks.claim

    def paused_meanwhile(*given: object, **named: object) -> Task:
        octet.work_states.pause(me(octet))
        return claim(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(octet.tasks, "claim", paused_meanwhile)
    assert one.stop() == Reply()
    assert held(octet) == []
    assert octet.tasks.get("1").attempts == 0


def test_work_that_is_not_for_it_does_not_wake_it_again(
    sessions: list[Client], octet: Octet
) -> None:
    """What overlaps a task in flight waits in vain for this agent, until something changes."""
    one, two = sessions
    for client in sessions:
        client.start(agent_type=DEVELOPER)
    octet.tasks.add("first", paths=["src/**"])
    octet.tasks.add("second", paths=["src/a.py"])
    one.stop()
    assert has_work(octet, me(octet, "developer-2"))
    assert two.stop() == Reply()
    assert not has_work(octet, me(octet, "developer-2"))
    octet.tasks.add("third", paths=["docs/**"])
    assert has_work(octet, me(octet, "developer-2"))
    assert not has_work(octet, me(octet)), "who holds a task is not woken for another"
    assert "task is 3" in feedback(two.stop())
