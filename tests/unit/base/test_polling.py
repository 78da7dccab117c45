"""Waiting by looking: how often, and for how long."""

from __future__ import annotations

import pytest

from octet.base import polling


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, time_s: float) -> None:
        self.slept.append(time_s)
        self.now_s += time_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In place of the machine's."""
    clock = Clock()
    monkeypatch.setattr(polling, "time", clock)
    return clock


def test_what_holds_already_takes_no_time(clock: Clock) -> None:
    """Not even where there is no time."""
    assert polling.poll_until(lambda: True, 0)
    assert clock.slept == []


def test_it_looks_until_it_holds(clock: Clock) -> None:
    """As often as it is told to."""
    answers = iter([False, False, True])
    assert polling.poll_until(lambda: next(answers), 10, 0.5)
    assert clock.slept == [0.5, 0.5]


def test_it_gives_up(clock: Clock) -> None:
    """After the time, and a last look."""
    assert not polling.poll_until(lambda: False, 1, 0.25)
    assert clock.now_s == 101.25
