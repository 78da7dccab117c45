"""The merge queue's latest reason for waiting; light, for commands that only show it."""

from __future__ import annotations

from octet.client.api import Octet

WAITING_EVENT = "merge_waiting"
MAX_EVENTS_READ = 200


def waiting_reason(octet: Octet) -> str:
    """What keeps the queue from moving, if it has merged nothing since it said so; else ""."""
    for event in reversed(octet.events.log(MAX_EVENTS_READ)):
        if event.type == "task_completed":
            return ""
        if event.type == WAITING_EVENT:
            return str(event.fields.get("why", ""))
    return ""
