"""The failure policy's answer inside the package, where something went wrong after the hook had
reached us.

`hooks/cold.py` gives the same answers where it had not.
"""

from __future__ import annotations

import json

from octet.daemon.protocol.wire import Reply, Request

GUARD = "PreToolUse"
FENCE = "Fence"


def failure_reply(request: Request, why: str) -> Reply:
    """Guarded tools and git's hooks: what the policy for an unreachable store says. Everything else
    goes on, and says `why` (one line).
    """
    if request.event not in (GUARD, FENCE):
        return Reply(0, json.dumps({"systemMessage": why}).encode() + b"\n")
    if request.event == FENCE:
        from octet.fence import failsafe as fence_failsafe

        return Reply(*fence_failsafe.decide(request.payload, request.root, why))
    from octet.guard import failsafe

    return Reply(*failsafe.decide(request.payload, request.root, why))
