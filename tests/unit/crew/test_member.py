"""When a member is started again or given up, and the steps to its end."""

from __future__ import annotations

import signal

import pytest

from octet.crew.hosts import Exit
from octet.crew.member import ASKED_S, MAX_DELAY_S, MAX_QUICK_ENDS, STEADY_S, TERM_S, MemberRun
from octet.crew.plan import Member
from octet.crew.record import ENDING, GIVEN_UP, WAITING


@pytest.fixture
def run() -> MemberRun:
    """A developer that was started at second 100, with a conversation of its own."""
    return MemberRun(Member("developer-1", "developer"), session="abc", started=100.0)


def test_it_is_given_up_after_quick_ends_in_a_row(run: MemberRun) -> None:
    """Each restart waits twice as long as the one before; the last quick end is the last."""
    delays = []
    for _ in range(MAX_QUICK_ENDS - 1):
        run.note_failure(101.0, Exit(1))
        assert run.state == WAITING
        delays.append(run.due - 101.0)
    assert delays == [0.5, 1.0, 2.0, 4.0]
    run.note_failure(101.0, Exit(1, "no key: run /login"))
    assert (run.state, run.restarts) == (GIVEN_UP, MAX_QUICK_ENDS - 1)
    assert run.reason == "no key: run /login"


def test_a_steady_member_is_never_given_up(run: MemberRun) -> None:
    """An end after a long life starts the count anew."""
    for _ in range(3 * MAX_QUICK_ENDS):
        run.note_failure(run.started + STEADY_S + 1, Exit(1))
        assert (run.state, run.quick_ends) == (WAITING, 1)
    assert run.due - (run.started + STEADY_S + 1) <= MAX_DELAY_S


def test_a_person_may_ask_again(run: MemberRun) -> None:
    """A member that was given up starts at the next round, with all its tries."""
    for _ in range(MAX_QUICK_ENDS):
        run.note_failure(101.0, Exit(1))
    run.try_again(200.0)
    assert (run.state, run.due, run.quick_ends) == (WAITING, 200.0, 0)


@pytest.mark.parametrize(("lived_s", "session"), [(1.0, ""), (STEADY_S + 1, "abc")])
def test_a_conversation_that_ends_quickly_is_not_resumed(lived_s: float, session: str) -> None:
    """It may itself be the cause of the end; one that went on for a while is not."""
    run = MemberRun(Member("orchestrator-1", "orchestrator"), session="abc", started=100.0)
    assert run.can_resume
    run.resumed = True
    run.note_failure(100.0 + lived_s, Exit(1))
    assert run.session == session
    assert run.can_resume == bool(session)


def test_only_an_orchestrator_resumes(run: MemberRun) -> None:
    """The other roles find all they need in the task."""
    assert not run.can_resume


def test_the_steps_to_its_end(run: MemberRun) -> None:
    """It is asked, then gets SIGTERM, then SIGKILL until it is gone; nothing before its time."""
    steps, now = [], 0.0
    for pause in (0.0, ASKED_S / 2, ASKED_S / 2, TERM_S / 2, TERM_S / 2, TERM_S):
        now += pause
        steps.append(run.next_end_step(now, hurry=False))
    assert steps == [0, None, signal.SIGTERM, None, signal.SIGKILL, signal.SIGKILL]
    assert run.state == ENDING


def test_in_a_hurry_it_is_not_asked(run: MemberRun) -> None:
    """SIGTERM comes at once, also to a member that was asked before."""
    assert run.next_end_step(0.0, hurry=True) == signal.SIGTERM
    asked = MemberRun(Member("developer-2", "developer"))
    assert asked.next_end_step(0.0, hurry=False) == 0
    assert asked.next_end_step(ASKED_S, hurry=True) == signal.SIGTERM


@pytest.mark.parametrize(
    ("status", "words"),
    [(None, "it ended"), (3, "exit status 3"), (-9, "killed by signal 9")],
)
def test_how_it_ended_is_said(run: MemberRun, status: int | None, words: str) -> None:
    """Without last words the exit status explains the end."""
    run.note_failure(101.0, Exit(status))
    assert run.reason == words
