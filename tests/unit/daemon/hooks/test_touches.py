"""Which paths an agent touches for the first time."""

from __future__ import annotations

import pytest
from tests.unit.daemon.fakes import agent, project

from octet.daemon.hooks.touches import MAX_KEPT, NOTE_EVERY_S, TouchedPaths


def test_a_path_is_fresh_once_in_half_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each agent of each project."""
    now = [100.0]
    monkeypatch.setattr("octet.daemon.hooks.touches.time.monotonic", lambda: now[0])
    touched = TouchedPaths()
    assert touched.fresh(project(), agent(), ["a.py", "b.py"]) == ["a.py", "b.py"]
    assert touched.fresh(project(), agent(), ["a.py", "c.py"]) == ["c.py"]
    assert touched.fresh(project(), agent("developer-2"), ["a.py"]) == ["a.py"]
    assert touched.fresh(project("bank"), agent(), ["a.py"]) == ["a.py"]
    now[0] += NOTE_EVERY_S
    assert touched.fresh(project(), agent(), ["a.py"]) == ["a.py"]


def test_memory_is_bounded() -> None:
    touched = TouchedPaths()
    for number in range(3):
        touched.fresh(project(), agent(), [f"{number}/{n}" for n in range(MAX_KEPT)])
    assert len(touched._noted_at) <= 2 * MAX_KEPT
