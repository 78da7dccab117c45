"""Fencing tokens that never come twice, although a server may forget its last second.

A power failure takes what was acknowledged within the last fsync, a failover to a replica what had not reached it yet: claims, and the
counter that gave them their tokens. Counting on from there would give the same token to the next claim of the same task, and whoever
still holds the forgotten one could write with it. So in each run of a server, before its first token, every project's counter leaps by
more than any server can count in that time.

The sign of a new run is that the server knows no scripts. Whoever finds that loads the script it needs, and leaps before: no script that
counts tokens can run in that server until somebody has done both.
"""

from __future__ import annotations

import re
import time
from typing import Any

from redis.exceptions import ResponseError

# A server does some 100,000 scripts a second and may forget two of them.
LEAP = 1_000_000
# After a restoration nobody knows how many tokens were given since the backup.
FAR_LEAP = 1_000_000_000
RUN = "octet:server-run"
TURN_MS = 5_000

_PATTERN = "workflow:{*}:token"
_TOKEN = re.compile(r"workflow:\{[^{}]+\}:token")


def leap_in_new_run(client: Any, token: str) -> None:
    """Let every project's token counter leap, once for each run of the server; `token` is the caller's own project's.

    A user who may not ask for the run, and a cluster, get the leap of their own counter only, each time: it does no harm.

    Raises:
        redis.RedisError: the server fails.
    """
    try:
        run = _run_of(client)
        if run:
            _leap_once(client, run)
            return
    except ResponseError:  # NOPERM among them: for an ACL user that has its own project's keys and no more
        pass
    if client.exists(token):
        client.incrby(token, LEAP)


def leap_all(client: Any, by: int) -> int:
    """Let the counter of each project leap `by`; how many there are."""
    tokens = [key for key in client.scan_iter(_PATTERN, count=10_000) if _TOKEN.fullmatch(key)]
    pipe = client.pipeline(transaction=False)
    for key in tokens:
        pipe.incrby(key, by)
    pipe.execute(raise_on_error=False)  # one that holds no number is spoiled already, and its project's scripts say so
    return len(tokens)


def _run_of(client: Any) -> str:
    """The server's name for its run; empty for a cluster and for what only plays a server."""
    if hasattr(client, "get_node_from_key"):
        return ""
    return str(client.info("server").get("run_id", ""))


def _leap_once(client: Any, run: str) -> None:
    """Fifty that find the server new at the same moment: one leaps, the others wait for it, or for its turn to run out."""
    turn = f"octet:leaping:{run}"
    while client.get(RUN) != run:
        if client.set(turn, "1", nx=True, px=TURN_MS):
            leap_all(client, LEAP)
            client.set(RUN, run)
            client.delete(turn)
            return
        time.sleep(0.005)
