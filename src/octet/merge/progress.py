"""Why the merge queue does not go on, as it said last; light, for whoever only looks."""

from __future__ import annotations

from octet.client.api import Octet

WAITING = "merge_waiting"
LOOKED_AT = 200


def why_waiting(octet: Octet) -> str:
    """What keeps the queue from moving, as it said last, if it has merged nothing since; else ""."""
    for event in reversed(octet.events.log(LOOKED_AT)):
        if event.type == "task_completed":
            return ""
        if event.type == WAITING:
            return str(event.fields.get("why", ""))
    return ""
