"""The error for each reply of a task script."""

from __future__ import annotations

from typing import Any

import pytest

from octet.base.errors import (
    AgentGone,
    IllegalTransition,
    NotFound,
    NotLeading,
    OctetError,
    Refused,
    StaleToken,
    WorkMoved,
)
from octet.core.tasks.refusals import check_reply, nothing_to_claim, refused_step


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (["MISSING"], NotFound, "no task 7"),
        (["STATE", "done"], IllegalTransition, "done"),
        (["STALE", "claimed", "developer-2"], StaleToken, "claimed, held by developer-2 now"),
        (["STALE", "pending", ""], StaleToken, "is pending now"),
        (["MOVED", "c0ffee"], WorkMoved, "c0ffee"),
        (["OWN"], Refused, "your own work"),
        (["LED", "orchestrator-1", "5", "1000"], NotLeading, "orchestrator-1 has led"),
        (["LED", "", "5", "0"], NotLeading, "no leader"),
        (["GONE"], AgentGone, "declared dead"),
    ],
)
def test_each_reply_has_its_error(reply: list[Any], kind: type[OctetError], words: str) -> None:
    """With the task, and what to know of it."""
    error = refused_step(reply, "7", "submit", "claimed")
    assert type(error) is kind
    assert words in str(error)
    with pytest.raises(kind):
        check_reply(reply, "7", "submit", "claimed")


def test_a_reply_that_no_script_gives() -> None:
    """It is a bug; OK is no error."""
    check_reply(["OK"], "7", "submit", "claimed")
    with pytest.raises(AssertionError):
        refused_step(["HELLO"], "7", "submit", "claimed")


def test_why_there_is_nothing_to_claim() -> None:
    """Scopes in flight before own work, own work before nothing at all."""
    assert "you could claim" in str(nothing_to_claim("build", 0, 0, 0))
    assert "your own work" in str(nothing_to_claim("review", 0, 0, 2))
    found = nothing_to_claim("build", 3, 250, 1)
    assert "3 of the tasks" in str(found)
    assert found.offer_ms == 250
