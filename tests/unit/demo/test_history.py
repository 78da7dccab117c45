"""What the demo counts as a conflict, a failover and a denial, and that its board shows it."""

from __future__ import annotations

import pytest

from octet.demo.board import export_board, plain_line
from octet.demo.history import History
from octet.demo.report import Facts, compose, render_report

FACTS = Facts(main="abc", moves=1, duration_s=3.0)

REVIEWER, TESTER, GUARDIAN = "code-sentinel-1", "test-orchestrator-1", "repository-guardian-1"


@pytest.fixture
def history() -> History:
    """Two developers and one agent for each gate, one task queued."""
    made = History(total=1)
    for name in ("developer-1", "developer-2", REVIEWER, TESTER, GUARDIAN):
        made.note_event("agent_joined", {"agent": name, "role": name.rpartition("-")[0]}, 0.1)
    made.note_event("task_added", {"task": "t", "title": "A task", "priority": 5}, 0.2)
    return made


def claim(history: History, agent: str, token: int, at_s: float, stage: str = "build") -> None:
    history.note_event(
        "task_claimed", {"task": "t", "agent": agent, "token": str(token), "stage": stage}, at_s
    )


def judge(history: History, kind: str, agent: str, gate: str, at_s: float) -> None:
    history.note_event(
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


def test_a_task_from_queue_to_main(history: History) -> None:
    """Built, sent back once by the reviewer, built again, approved, tested, merged: each is
    counted, and none is a conflict.
    """
    claim(history, "developer-1", 1, 1.0)
    history.note_event(
        "task_progress", {"task": "t", "agent": "developer-1", "progress": 40, "note": "half"}, 1.1
    )
    for token, verdict in ((2, "returned"), (4, "passed")):
        history.note_event(
            "task_submitted",
            {"task": "t", "agent": "developer-1", "branch": "octet/t", "commit": "c"},
            token + 0.1,
        )
        assert history.members["developer-1"].state == "idle"
        claim(history, REVIEWER, token, token + 0.2, stage="review")
        assert (history.tasks["t"].state, history.members[REVIEWER].state) == (
            "in-review",
            "working",
        )
        judge(history, verdict, REVIEWER, "review", token + 0.3)
        if verdict == "returned":
            claim(history, "developer-1", token + 1, token + 0.5)
    claim(history, TESTER, 5, 5.0, stage="test")
    judge(history, "passed", TESTER, "test", 5.1)
    claim(history, GUARDIAN, 6, 6.0, stage="merge")
    history.note_event("task_completed", {"task": "t", "agent": GUARDIAN, "commit": "m"}, 6.1)
    assert (
        history.builds,
        history.reviews,
        history.sent_back,
        history.test_runs,
        history.merges,
        history.done,
    ) == (2, 2, 1, 1, 1, 1)
    assert history.conflicts == []
    shown = render_report(compose(history, "Feature", FACTS, []))
    assert "2 (1 sent back), test runs 1" in shown
    assert "1 in 1 moves of main" in shown


@pytest.mark.parametrize("gate", ["test", "merge"])
def test_work_that_does_not_fit_together_is_a_conflict(history: History, gate: str) -> None:
    """What the tests or the merge send back is a fault of the demo's; what the reviewer sends back
    is not.
    """
    claim(history, GUARDIAN, 1, 1.0, stage=gate)
    judge(history, "returned", GUARDIAN, gate, 1.1)
    assert len(history.conflicts) == 1


def test_a_task_that_waits_for_another(history: History) -> None:
    """A task is blocked until the one before it is done, and so it is shown."""
    history.note_event(
        "task_added", {"task": "u", "title": "Another", "priority": 1, "state": "blocked"}, 0.3
    )
    assert history.tasks["u"].state == "blocked"
    history.note_event("task_unblocked", {"task": "u", "title": "Another", "by": "t"}, 0.4)
    assert history.tasks["u"].state == "pending"


@pytest.mark.parametrize(
    ("token", "freed"),
    [(2, False), (1, True)],
    ids=["two holders at once", "a token that does not grow"],
)
def test_conflicts(history: History, token: int, freed: bool) -> None:
    """A second holder, or a token no greater than the last, is a conflict."""
    claim(history, "developer-1", 1, 1.0)
    if freed:
        history.note_event("task_released", {"task": "t", "agent": "developer-1"}, 1.5)
    claim(history, "developer-2", token, 2.0)
    assert len(history.conflicts) == 1


def test_a_second_completion_and_a_second_lock_are_conflicts(history: History) -> None:
    """A task that is done twice, or a resource that two agents were given, is counted."""
    for at_s in (1.0, 2.0):
        history.note_event("task_completed", {"task": "t", "agent": GUARDIAN, "commit": "m"}, at_s)
        history.note_event(
            "lock_acquired", {"resource": "path:a", "agent": f"developer-{int(at_s)}"}, at_s
        )
    assert len(history.conflicts) == 2


def test_a_death_and_its_heir(history: History) -> None:
    """The times from the kill to a claimable task and to its next holder are the events' own."""
    claim(history, "developer-1", 1, 1.0)
    history.note_kill("developer-1", 2.0)
    history.note_event("agent_died", {"agent": "developer-1", "tasks": "t"}, 2.01)
    history.note_event(
        "task_released", {"task": "t", "agent": "developer-1", "reason": "died"}, 2.02
    )
    claim(history, "developer-2", 2, 2.5)
    report = compose(history, "Feature", FACTS, [])
    assert (report.killed, report.heir, report.claimable_ms, report.failover_ms) == (
        "developer-1",
        "developer-2",
        20,
        500,
    )
    assert history.members["developer-1"].state == "killed"
    assert "500 ms" in render_report(report)


def test_a_death_that_nobody_made_good(history: History) -> None:
    """Without an heir the report says so and gives no time."""
    claim(history, "developer-1", 1, 1.0)
    history.note_kill("developer-1", 2.0)
    report = compose(history, "Feature", FACTS, ["t is pending"])
    assert report.failover_ms is None
    assert "no other agent took over" in render_report(report)
    assert "t is pending" in render_report(report)


def test_a_promise_that_was_not_kept_is_said(history: History) -> None:
    """A task that came free later than promised is not passed over in the report."""
    claim(history, "developer-1", 1, 1.0)
    history.note_kill("developer-1", 2.0)
    history.note_event("task_released", {"task": "t", "agent": "developer-1"}, 5.0)
    claim(history, "developer-2", 2, 5.1)
    assert "more than the promised" in render_report(compose(history, "Feature", FACTS, []))


def test_what_members_say(history: History) -> None:
    """Denials are counted, failures kept, and who waits can take over."""
    history.note_record(
        {"kind": "denied", "agent": "developer-1", "tool": "Edit", "reason": "held"}, 1.0
    )
    history.note_record({"kind": "failed", "agent": "developer-1", "reason": "no"}, 1.0)
    history.note_record({"kind": "rests", "agent": "developer-2"}, 1.0)
    assert history.denials == 1
    assert history.failures == ["developer-1: no"]
    assert history.waiting_developers() == ["developer-2"]


@pytest.mark.parametrize("kind", ["text", "svg"])
def test_the_board_as_a_picture(history: History, kind: str) -> None:
    """The exported board names every agent and task, and what happened last."""
    claim(history, "developer-1", 1, 1.0)
    history.add_line(1.5, "developer-1", "\x1b[31mred\x07 \u202etext")
    picture = export_board(history, "Feature", 2.0, kind).replace("&#160;", " ")
    assert all(word in picture for word in ("developer-2", "claimed", "Feature", "claims 1"))
    assert "\x07" not in picture
    assert "\x1b[31m" not in plain_line(history.lines[-1])
