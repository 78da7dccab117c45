"""What an agent is told of its tasks, stage by stage; the lengths are in `test_budgets`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.daemon.fakes import agent

from octet.core.tasks.record import Task, TaskState
from octet.daemon.turns import task_texts

TASK = Task("7", "work", TaskState.CLAIMED, stage="build", token="3", attempts=1)


@pytest.mark.parametrize(
    ("stage", "commands"),
    [
        ("build", ["octet worktree add 7", "octet task submit 7"]),
        ("docs", ["octet worktree add 7", "octet task submit 7"]),
        ("plan", ["octet task complete 7"]),
        ("design", ["octet task complete 7"]),
        ("review", ["octet review start 7", "octet review approve 7", "octet review reject 7"]),
        ("security", ["octet review start 7", "octet review approve 7", "octet review reject 7"]),
        ("test", ["octet test run --all", "600000"]),
        ("merge", ["octet merge queue", "octet merge run --once", "600000"]),
    ],
)
def test_each_stage_has_its_commands(stage: str, commands: list[str]) -> None:
    """In the text that assigns a task, and in the reminder."""
    task = replace(TASK, stage=stage)
    for text in (
        task_texts.assigned(agent(), task),
        task_texts.reminded(task, answered=False),
    ):
        for command in commands:
            assert command in text


def test_what_is_known_is_told_and_nothing_else() -> None:
    """A line for each fact; a later attempt's history; findings and progress of a task in hand."""
    assert task_texts.facts(TASK) == ["  title     work"]
    rich = replace(
        TASK,
        after=("5", "6"),
        attempts=3,
        last_reason="it broke\nbadly",
        findings="a.py:3: blocker: no",
        progress=40,
        note="half",
        branch="octet/7",
        commit="c0ffee5eed11111",
        rescue_ref="refs/octet/rescue/7/2-x",
        rescue_size="1 file",
    )
    told = "\n".join(task_texts.facts(rich))
    for part in (
        "after     5, 6",
        "2 earlier, the last: it broke badly",
        "findings  a.py:3: blocker: no",
        "40% half",
        "octet/7 at c0ffee5eed1…",
        "refs/octet/rescue/7/2-x (1 file): `octet task rescue 7`",
    ):
        assert part in told
    back = "\n".join(task_texts.facts(replace(rich, state=TaskState.SUBMITTED)))
    assert "findings" not in back
    assert "40%" not in back
    assert all(len(line) <= 112 for line in task_texts.facts(replace(TASK, title="t" * 90), 50))


def test_ways_out_depend_on_what_is_held() -> None:
    """A claim can fail; a gate's task only goes back."""
    assert "octet task fail 7" in task_texts.ways_out(TASK)
    assert "fail" not in task_texts.ways_out(replace(TASK, state=TaskState.IN_REVIEW))


def test_a_person_who_asked_to_stop_is_obeyed() -> None:
    """Every text that sends an agent on says how it pauses."""
    texts = [
        task_texts.assigned(agent(), TASK),
        task_texts.reminded(TASK, answered=True),
        task_texts.interrupted(TASK),
        task_texts.offered("test", 1),
    ]
    assert all("octet agent pause" in text for text in texts)
