"""The failure policy inside the daemon: the answer where something went wrong after the hook had
reached us. `hooks/cold.py` gives the same answers where it had not.
"""

from __future__ import annotations

import json

from octet.daemon.protocol.wire import Reply, Request

GUARD = "PreToolUse"
FENCE = "Fence"


def failure_reply(request: Request, why: str) -> Reply:
    """For the guard and git's hooks, what the policy for an unreachable store says. Any other event
    goes on, and shows `why` (one line).
    """
    # Imported when needed: the guard's failure policy is large, and the worker imports this at
    # once.
    if request.event == GUARD:
        from octet.guard import failsafe

        return Reply(*failsafe.decide(request.payload, request.root, why))
    if request.event == FENCE:
        from octet.fence import failsafe as fence_failsafe

        return Reply(*fence_failsafe.decide(request.payload, request.root, why))
    return Reply(0, json.dumps({"systemMessage": why}).encode() + b"\n")
