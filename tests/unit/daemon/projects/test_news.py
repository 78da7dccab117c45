"""What events mean for idle agents."""

from __future__ import annotations

import json

from octet.daemon.projects.news import News


def test_what_events_mean() -> None:
    """Garbage means nothing, progress nothing, a task or an agent's end that there may be work."""

    def told(*events: dict[str, str]) -> News:
        return News.of([*map(json.dumps, events), "{", "7", "[]"])

    assert not told({"type": "task_progress"}, {"type": "own"})
    assert told({"type": "message_sent", "to": "developer-1"}) == News(
        inboxes=frozenset({"developer-1"})
    )
    assert told({"type": "task_added"}).tasks
    assert told({"type": "agent_died"}).agents
    assert told({"type": "lock_released"}).locks
    assert told({"type": "task_claimed", "agent": "a-1"}).claimed == {"a-1"}
