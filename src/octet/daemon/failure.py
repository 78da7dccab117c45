"""The failure policy's answer inside the package, where something went wrong after the hook had reached us.

`hooks/cold.py` gives the same answers where it had not.
"""

from __future__ import annotations

import json

from octet.daemon.wire import Reply, Request

GUARD = "PreToolUse"


def failure_reply(request: Request, why: str) -> Reply:
    """Guarded tools: what the policy for an unreachable store says. Everything else goes on, and says `why` (one line)."""
    if request.event != GUARD:
        return Reply(0, json.dumps({"systemMessage": why}).encode() + b"\n")
    from octet.guard import failsafe

    return Reply(*failsafe.decide(request.payload, request.root, why))
