"""Plans, checked before they are stored."""

from __future__ import annotations

import pytest

from octet.base.errors import UsageError
from octet.core.tasks.plans import NewTask, check_plan, find_cycle


def test_cycles() -> None:
    """A round is found wherever it is, and shown; however deep a chain is, it is none."""
    assert find_cycle({"a": ["b"], "b": ["c", "d"], "c": [], "d": ["b"]}) == ["b", "d", "b"]
    assert find_cycle({str(n): [str(n + 1)] for n in range(100_000)}) == []
    with pytest.raises(UsageError, match="x after y after x"):
        check_plan([NewTask("x", id="x", after=("y",)), NewTask("y", id="y", after=("x",))])
