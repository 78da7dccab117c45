"""What the demo counts as a conflict, a failover and a denial, and that its board shows it."""

from __future__ import annotations

import pytest

from octet.demo.board import export_board, plain_line
from octet.demo.chronicle import Chronicle
from octet.demo.report import compose, render_report

FACTS = {"main": "abc", "tests": "its tests pass", "repository": ""}


@pytest.fixture
def story() -> Chronicle:
    """Two developers and a guardian, one task queued."""
    chronicle = Chronicle(total=1)
    for name, role in (("developer-1", "developer"), ("developer-2", "developer"), ("repository-guardian-1", "repository-guardian")):
        chronicle.event("agent_joined", {"agent": name, "role": role}, 0.1)
    chronicle.event("task_added", {"task": "t", "title": "A task", "priority": 5}, 0.2)
    return chronicle


def claim(story: Chronicle, agent: str, token: int, at_s: float, stage: str = "build") -> None:
    story.event("task_claimed", {"task": "t", "agent": agent, "token": str(token), "stage": stage}, at_s)


def test_a_task_from_queue_to_main(story: Chronicle) -> None:
    """Claimed, submitted, merged: one claim to build, one merge, no conflict."""
    claim(story, "developer-1", 1, 1.0)
    story.event("task_progress", {"task": "t", "agent": "developer-1", "progress": 40, "note": "half"}, 1.1)
    story.event("task_submitted", {"task": "t", "agent": "developer-1", "branch": "octet/t", "commit": "c"}, 2.0)
    claim(story, "repository-guardian-1", 2, 3.0, stage="merge")
    story.event("task_completed", {"task": "t", "agent": "repository-guardian-1", "commit": "m"}, 4.0)
    assert (story.builds, story.merges, story.done, story.conflicts) == (1, 1, 1, [])
    assert story.members["developer-1"].state == "idle"


@pytest.mark.parametrize(
    ("token", "freed"),
    [(2, False), (1, True)],
    ids=["two holders at once", "a token that does not grow"],
)
def test_conflicts(story: Chronicle, token: int, freed: bool) -> None:
    """A second holder, or a token no greater than the last, is a conflict."""
    claim(story, "developer-1", 1, 1.0)
    if freed:
        story.event("task_released", {"task": "t", "agent": "developer-1"}, 1.5)
    claim(story, "developer-2", token, 2.0)
    assert len(story.conflicts) == 1


def test_a_second_completion_and_a_second_lock_are_conflicts(story: Chronicle) -> None:
    """A task that is done twice, or a resource that two agents were given, is counted."""
    for at_s in (1.0, 2.0):
        story.event("task_completed", {"task": "t", "agent": "repository-guardian-1", "commit": "m"}, at_s)
        story.event("lock_acquired", {"resource": "path:a", "agent": f"developer-{int(at_s)}"}, at_s)
    assert len(story.conflicts) == 2


def test_a_death_and_its_heir(story: Chronicle) -> None:
    """The times from the kill to a claimable task, and to its next holder, are those of the events."""
    claim(story, "developer-1", 1, 1.0)
    story.killed("developer-1", 2.0)
    story.event("agent_died", {"agent": "developer-1", "tasks": "t"}, 2.01)
    story.event("task_released", {"task": "t", "agent": "developer-1", "reason": "died"}, 2.02)
    claim(story, "developer-2", 2, 2.5)
    report = compose(story, "Feature", FACTS, 3.0, [])
    assert (report.killed, report.heir, report.claimable_ms, report.failover_ms) == ("developer-1", "developer-2", 20, 500)
    assert story.members["developer-1"].state == "killed"
    assert "500 ms" in render_report(report)


def test_a_death_that_nobody_made_good(story: Chronicle) -> None:
    """Without an heir the report says so and gives no time."""
    claim(story, "developer-1", 1, 1.0)
    story.killed("developer-1", 2.0)
    report = compose(story, "Feature", FACTS, 3.0, ["t is pending"])
    assert report.failover_ms is None
    assert "nobody took" in render_report(report)
    assert "t is pending" in render_report(report)


def test_a_promise_that_was_not_kept_is_said(story: Chronicle) -> None:
    """A task that came free later than promised is not passed over in the report."""
    claim(story, "developer-1", 1, 1.0)
    story.killed("developer-1", 2.0)
    story.event("task_released", {"task": "t", "agent": "developer-1"}, 5.0)
    claim(story, "developer-2", 2, 5.1)
    assert "more than the promised" in render_report(compose(story, "Feature", FACTS, 3.0, []))


def test_what_members_say(story: Chronicle) -> None:
    """Denials are counted, failures kept, and who waits can take over."""
    story.said({"kind": "denied", "agent": "developer-1", "tool": "Edit", "reason": "held"}, 1.0)
    story.said({"kind": "failed", "agent": "developer-1", "reason": "no"}, 1.0)
    story.said({"kind": "rests", "agent": "developer-2"}, 1.0)
    assert story.denials == 1
    assert story.failures == ["developer-1: no"]
    assert story.free_developers() == ["developer-2"]


@pytest.mark.parametrize("kind", ["text", "svg"])
def test_the_board_as_a_picture(story: Chronicle, kind: str) -> None:
    """The exported board names every agent and task, and what happened last."""
    claim(story, "developer-1", 1, 1.0)
    story.tell(1.5, "developer-1", "\x1b[31mred\x07 \u202etext")
    picture = export_board(story, "Feature", 2.0, kind).replace("&#160;", " ")
    assert all(word in picture for word in ("developer-2", "claimed", "Feature", "claims 1"))
    assert "\x07" not in picture
    assert "\x1b[31m" not in plain_line(story.lines[-1])
