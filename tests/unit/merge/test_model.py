"""Works and outcomes."""

from __future__ import annotations

import pytest

from octet.merge.model import Evidence


@pytest.mark.parametrize(("status", "passed"), [(0, True), (1, False), (-9, False), (None, False)])
def test_only_exit_status_zero_passes(status: int | None, passed: bool) -> None:
    """A failure, a signal and a time-out do not."""
    evidence = Evidence("true", (), "", "", "", status, 0, 0, "")
    assert evidence.passed is passed
