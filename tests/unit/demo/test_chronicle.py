"""What the demo counts as a conflict, a failover and a denial, and that its board shows it."""

from __future__ import annotations

import pytest

from octet.demo.board import export_board, plain_line
from octet.demo.chronicle import Chronicle
from octet.demo.report import Facts, compose, render_report

FACTS = Facts(main="abc", moves=1, duration_s=3.0)

REVIEWER, TESTER, GUARDIAN = "code-sentinel-1", "test-orchestrator-1", "repository-guardian-1"


@pytest.fixture
def story() -> Chronicle:
    """Two developers and one agent for each gate, one task queued."""
    chronicle = Chronicle(total=1)
    for name in ("developer-1", "developer-2", REVIEWER, TESTER, GUARDIAN):
        chronicle.event("agent_joined", {"agent": name, "role": name.rpartition("-")[0]}, 0.1)
    chronicle.event("task_added", {"task": "t", "title": "A task", "priority": 5}, 0.2)
    return chronicle


def claim(story: Chronicle, agent: str, token: int, at_s: float, stage: str = "build") -> None:
    story.event(
        "task_claimed", {"task": "t", "agent": agent, "token": str(token), "stage": stage}, at_s
    )


def judge(story: Chronicle, kind: str, agent: str, gate: str, at_s: float) -> None:
    story.event(
        f"task_{kind}",
        {
            "task": "t",
            "agent": agent,
            "gate": gate,
            "commit": "c",
            "findings": "a.py:1: major: no test",
        },
        at_s,
    )


def test_a_task_from_queue_to_main(story: Chronicle) -> None:
    """Built, sent back once by the reviewer, built again, approved, tested, merged: each is
    counted, and none is a conflict.
    """
    claim(story, "developer-1", 1, 1.0)
    story.event(
        "task_progress", {"task": "t", "agent": "developer-1", "progress": 40, "note": "half"}, 1.1
    )
    for token, verdict in ((2, "returned"), (4, "passed")):
        story.event(
            "task_submitted",
            {"task": "t", "agent": "developer-1", "branch": "octet/t", "commit": "c"},
            token + 0.1,
        )
        assert story.members["developer-1"].state == "idle"
        claim(story, REVIEWER, token, token + 0.2, stage="review")
        assert (story.work["t"].state, story.members[REVIEWER].state) == ("in-review", "working")
        judge(story, verdict, REVIEWER, "review", token + 0.3)
        if verdict == "returned":
            claim(story, "developer-1", token + 1, token + 0.5)
    claim(story, TESTER, 5, 5.0, stage="test")
    judge(story, "passed", TESTER, "test", 5.1)
    claim(story, GUARDIAN, 6, 6.0, stage="merge")
    story.event("task_completed", {"task": "t", "agent": GUARDIAN, "commit": "m"}, 6.1)
    assert (
        story.builds,
        story.reviews,
        story.sent_back,
        story.test_runs,
        story.merges,
        story.done,
    ) == (2, 2, 1, 1, 1, 1)
    assert story.conflicts == []
    shown = render_report(compose(story, "Feature", FACTS, []))
    assert "2 (1 sent back), test runs 1" in shown
    assert "1 in 1 moves of main" in shown


@pytest.mark.parametrize("gate", ["test", "merge"])
def test_work_that_does_not_fit_together_is_a_conflict(story: Chronicle, gate: str) -> None:
    """What the tests or the merge send back is a fault of the demo's; what the reviewer sends back
    is not.
    """
    claim(story, GUARDIAN, 1, 1.0, stage=gate)
    judge(story, "returned", GUARDIAN, gate, 1.1)
    assert len(story.conflicts) == 1


def test_a_task_that_waits_for_another(story: Chronicle) -> None:
    """A task is blocked until the one before it is done, and so it is shown."""
    story.event(
        "task_added", {"task": "u", "title": "Another", "priority": 1, "state": "blocked"}, 0.3
    )
    assert story.work["u"].state == "blocked"
    story.event("task_unblocked", {"task": "u", "title": "Another", "by": "t"}, 0.4)
    assert story.work["u"].state == "pending"


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
        story.event("task_completed", {"task": "t", "agent": GUARDIAN, "commit": "m"}, at_s)
        story.event(
            "lock_acquired", {"resource": "path:a", "agent": f"developer-{int(at_s)}"}, at_s
        )
    assert len(story.conflicts) == 2


def test_a_death_and_its_heir(story: Chronicle) -> None:
    """The times from the kill to a claimable task, and to its next holder, are those of the events."""
    claim(story, "developer-1", 1, 1.0)
    story.killed("developer-1", 2.0)
    story.event("agent_died", {"agent": "developer-1", "tasks": "t"}, 2.01)
    story.event("task_released", {"task": "t", "agent": "developer-1", "reason": "died"}, 2.02)
    claim(story, "developer-2", 2, 2.5)
    report = compose(story, "Feature", FACTS, [])
    assert (report.killed, report.heir, report.claimable_ms, report.failover_ms) == (
        "developer-1",
        "developer-2",
        20,
        500,
    )
    assert story.members["developer-1"].state == "killed"
    assert "500 ms" in render_report(report)


def test_a_death_that_nobody_made_good(story: Chronicle) -> None:
    """Without an heir the report says so and gives no time."""
    claim(story, "developer-1", 1, 1.0)
    story.killed("developer-1", 2.0)
    report = compose(story, "Feature", FACTS, ["t is pending"])
    assert report.failover_ms is None
    assert "nobody took" in render_report(report)
    assert "t is pending" in render_report(report)


def test_a_promise_that_was_not_kept_is_said(story: Chronicle) -> None:
    """A task that came free later than promised is not passed over in the report."""
    claim(story, "developer-1", 1, 1.0)
    story.killed("developer-1", 2.0)
    story.event("task_released", {"task": "t", "agent": "developer-1"}, 5.0)
    claim(story, "developer-2", 2, 5.1)
    assert "more than the promised" in render_report(compose(story, "Feature", FACTS, []))


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
