"""Which client processes are in a turn, and what came of waking them."""

from __future__ import annotations

import json
from pathlib import Path

from octet.daemon.turns.session_turns import (
    FIRST_REST_S,
    MAX_FRUITLESS,
    MAX_TURNS,
    SessionTurn,
    SessionTurns,
)

PLACE = ("/shop", "")


def noted(tmp_path: Path, status: str, at_ms: float = 0.0) -> str:
    """A file in which a client has noted that of itself."""
    path = tmp_path / "status.json"
    path.write_text(json.dumps({"status": status, "statusUpdatedAt": at_ms}))
    return str(path)


def test_hooks_tell_and_the_client_s_note_where_they_cannot(tmp_path: Path) -> None:
    """A note counts if it is younger than the last hook, and where no hook has come."""
    turn = SessionTurn()
    assert not turn.is_running(noted(tmp_path, "idle"))
    assert turn.is_running(noted(tmp_path, "busy"))
    turn.set_busy(True)
    assert turn.is_running(noted(tmp_path, "idle", turn.since_ms - 1))
    assert not turn.is_running(noted(tmp_path, "idle", turn.since_ms + 1))
    turn.set_busy(False)
    assert not turn.is_running(noted(tmp_path, "busy", turn.since_ms + 1))


def test_waking_in_vain_brings_rest_and_a_result_ends_it() -> None:
    """Longer each time; what was reserved is released once."""
    turn, released = SessionTurn(), [0]

    def release() -> None:
        released[0] += 1

    rests = []
    for _ in range(MAX_FRUITLESS + 1):
        turn.note_wake(PLACE, "developer-1", release)
        rests.append(turn.rest_until - turn.since)
    assert [round(rest_s) for rest_s in rests[-2:]] == [FIRST_REST_S, 2 * FIRST_REST_S]
    assert all(rest_s < 0 for rest_s in rests[:-2])
    turn.note_result()
    turn.note_result()
    assert (turn.fruitless, turn.rest_until, released[0]) == (0, 0.0, 1)


def test_a_claim_counts_for_the_agent_of_its_own_project() -> None:
    """Two projects may each have woken their developer-1."""
    turns = SessionTurns()
    for pid, root in ((7, "/shop"), (8, "/bank")):
        turns.get(pid).note_wake((root, ""), "developer-1", lambda: None)
    assert list(turns.woken(PLACE, frozenset({"developer-1"}))) == [turns.get(7)]
    assert list(turns.woken(PLACE, frozenset({"developer-2"}))) == []


def test_memory_is_bounded() -> None:
    """The process that was asked about last is kept."""
    turns = SessionTurns()
    for pid in range(2 * MAX_TURNS):
        turns.get(pid)
    assert turns.find(0) is None
    assert turns.find(2 * MAX_TURNS - 1) is not None
    turns.clear()
    assert turns.find(2 * MAX_TURNS - 1) is None
