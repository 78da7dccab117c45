"""The bugs that the torture must catch still have their place in the source."""

from __future__ import annotations

import pytest
from tests.chaos.torture.bugs import BUGS, Bug, spoiled


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_can_be_planted(bug: Bug) -> None:
    """The text that it replaces is there, once."""
    assert len(spoiled(bug)) == len(bug.patches)
