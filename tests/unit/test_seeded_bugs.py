"""The bugs that the torture plants in a copy of Octet still fit its text."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.chaos.torture.bugs import BUGS, Bug

import octet


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_can_be_planted(bug: Bug) -> None:
    """Each text that is replaced stands in its file exactly once."""
    for name, patches in bug.patches.items():
        text = (Path(octet.__file__).parent / name).read_text(encoding="utf-8")
        assert [text.count(old) for old, _ in patches] == [1] * len(patches), name
