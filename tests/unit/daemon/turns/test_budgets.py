"""What agents are told costs tokens at every turn: each text, with realistic values, has a budget.

The values (title, description, paths, names, messages) are part of what is counted; the table's
figures leave a few characters of room, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.daemon.fakes import agent

from octet.core.agents.registry import Agent
from octet.core.messaging.messages import Message, Taken
from octet.core.tasks.record import Task, TaskState
from octet.daemon.turns import task_texts
from octet.daemon.turns.briefing import brief
from octet.daemon.turns.mail import render_mail
from octet.daemon.turns.parking import parked_notice
from octet.daemon.turns.wake_reasons import WakeReasons

DEVELOPER = agent("developer-2")
TASK = Task(
    "17",
    "Parse dates in the import of CSV files",
    TaskState.CLAIMED,
    stage="build",
    token="1796061234567890",
    description="`import_rows` takes ISO dates only. Accept DD.MM.YYYY too, as the bank writes.",
    accept="tests/test_import.py passes, with a case for each form",
    paths=("src/shop/importer.py", "tests/test_import.py"),
)
SENT_BACK = replace(
    TASK,
    attempts=2,
    last_reason="the parser rejects 29 February",
    findings="src/shop/importer.py:31: blocker: 31.12. becomes January",
    branch="octet/17",
    commit="c0ffee5eed11",
    rescue_ref="refs/octet/rescue/17/1-c0ffee",
    rescue_size="2 files, +14 -3",
    progress=40,
    note="parser done",
)
REVIEW = replace(TASK, stage="review", branch="octet/17", commit="c0ffee5eed11")


def message(number: int, text: str) -> Message:
    return Message(
        f"developer-2/{1796061234567 + number}-0",
        "code-sentinel-1",
        "developer-2",
        text,
        sent_ms=1_000,
        kind="info",
        task="17",
    )


def octet(others: Sequence[Agent] = (), held: Sequence[Task] = (), waiting: int = 0) -> Any:
    """A project's library, as far as the texts ask it."""
    return SimpleNamespace(
        name="shop",
        project=None,
        now_ms=lambda: 61_000,
        agents=SimpleNamespace(list=lambda: list(others)),
        tasks=SimpleNamespace(
            held_by=lambda name: held if name == DEVELOPER.id else (), waiting=lambda _: waiting
        ),
        work_states=SimpleNamespace(get=lambda _: SimpleNamespace(stopped="")),
        election=SimpleNamespace(explain=lambda _: ""),
        locks=SimpleNamespace(list=lambda: []),
    )


def briefing(held: Sequence[Task] = (), waiting: int = 0) -> str:
    crew = [agent(f"developer-{n}") for n in (1, 2, 3)] + [agent("code-sentinel-1")]
    return brief(octet(crew, held, waiting), DEVELOPER, "/octet:claim-task")


def mail(*texts: str) -> str:
    messages = [message(number, text) for number, text in enumerate(texts)]
    return render_mail(octet(), Taken(messages, [], left=0))


def wake(*texts: str) -> str:
    return WakeReasons(texts=list(texts)).line


TEXTS: dict[str, tuple[Callable[[], str], int]] = {
    "assigned, to build": (lambda: task_texts.assigned(DEVELOPER, TASK), 720),
    "assigned, sent back": (lambda: task_texts.assigned(DEVELOPER, SENT_BACK), 1120),
    "assigned, to review": (lambda: task_texts.assigned(DEVELOPER, REVIEW), 760),
    "reminded": (lambda: task_texts.reminded(TASK, answered=False), 610),
    "reminded after an answer": (lambda: task_texts.reminded(TASK, answered=True), 660),
    "interrupted": (lambda: task_texts.interrupted(TASK), 225),
    "offered, tests": (lambda: task_texts.offered("test", 1), 260),
    "offered, merges": (lambda: task_texts.offered("merge", 3), 290),
    "briefing, idle": (lambda: briefing(waiting=2), 300),
    "briefing, with a task": (lambda: briefing([TASK]), 690),
    "briefing, sent back": (lambda: briefing([SENT_BACK]), 1080),
    "mail, one message": (lambda: mail("The column is called booked_on now."), 420),
    "mail, three messages": (lambda: mail("One.", "Two.", "Three."), 610),
    "parked": (lambda: parked_notice(DEVELOPER, "3 tasks in a row came to no commit"), 140),
    "woken by mail": (lambda: wake("1 message came for developer-2"), 45),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_keeps_its_budget(name: str) -> None:
    """And uses at least three quarters of it: a budget that nothing touches says nothing."""
    render, most = TEXTS[name]
    assert most * 3 // 4 <= len(render()) <= most, render()


def test_the_fixed_words_are_few() -> None:
    """Of a hand-out, what is not the task's own."""
    bare = Task("1", "t", TaskState.CLAIMED, stage="build", token="1")
    assert len(task_texts.assigned(agent("d"), bare)) <= 480
    assert len(mail("")) - len(f"[{message(0, '').ref}]") <= 340
