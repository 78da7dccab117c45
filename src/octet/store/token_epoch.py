"""Token epochs: fencing tokens that never come twice, although a server may forget its last second.

A power failure takes what was acknowledged within the last fsync, a failover to a replica what had
not reached it yet: claims, and the counter that gave them their tokens. Counting on from there
would give the same token to the next claim of the same task, and the holder of the forgotten one
could write with it. So in each run of a server, before its first token, every project's counter
steps further than any server can count in that time.

The sign of a new run is that the server knows no scripts. A client that finds this loads the script
it needs, and begins the epoch first: no script that counts tokens can run in that server until some
client has done both.
"""

from __future__ import annotations

import random
import re
import time
from typing import Any

from redis.exceptions import ResponseError

from octet.base.vocabulary import PROJECT_NAME
from octet.store.embedded import flush_to_disk
from octet.store.keys import SERVER_RUN, Keys, server_turn

# A server runs some 100,000 scripts a second and may forget two seconds of them.
EPOCH_STEP = 1_000_000
# After a restoration: how many tokens were given since the backup is unknown.
RESTORE_STEP = 1_000_000_000
TURN_MS = 2_000

# The counter itself, and what a project has before its first token: the counter may be lost.
_PATTERN = "workflow:{*}:*e[nq]"
_SIGN = re.compile(r"workflow:\{([^{}]+)\}:(?:token|tasks:seq|agents:seq)")


def begin_epoch(client: Any, keys: Keys) -> None:
    """Advance every project's token counter, once for each run of the server; `keys` are those of
    the caller's own project.

    A user who may not ask for the run, and a cluster, advance their own counter only, each time: it
    does no harm.

    Raises:
        redis.RedisError: the server fails.
    """
    try:
        run = _run_of(client)
        if run:
            _advance_once(client, run)
            return
    except ResponseError:
        pass  # NOPERM, for an ACL user that has the keys of its own project alone
    if client.exists(keys.token, keys.task_seq, keys.agent_seq):
        client.incrby(keys.token, EPOCH_STEP)


def advance_tokens(client: Any, by: int) -> int:
    """Advance the counter of each project; returns how many there are."""
    found = projects(client)
    pipe = client.pipeline(transaction=False)
    for name in found:
        pipe.incrby(Keys(name).token, by)
    # A counter that holds no number is spoiled already, and its project's scripts say so.
    pipe.execute(raise_on_error=False)
    return len(found)


def projects(client: Any) -> set[str]:
    """The names of the projects that have or had agents or tasks on this server."""
    signs = (_SIGN.fullmatch(key) for key in client.scan_iter(_PATTERN, count=10_000))
    return {sign[1] for sign in signs if sign and PROJECT_NAME.fullmatch(sign[1])}


def _run_of(client: Any) -> str:
    """The server's name for its run; empty for a cluster and for a fake server."""
    if hasattr(client, "get_node_from_key"):
        return ""
    return str(client.info("server").get("run_id", ""))


def _advance_once(client: Any, run: str) -> None:
    """Fifty clients find the server new at the same moment: one advances the counters, the others
    wait for it, or for its turn to run out.
    """
    turn = server_turn(run)
    while client.get(SERVER_RUN) != run:
        if client.set(turn, "1", nx=True, px=TURN_MS):
            # A second failure may take this step too: a random part makes the next one another. Our
            # own server loses nothing of it.
            advance_tokens(client, EPOCH_STEP + random.randrange(EPOCH_STEP))
            if directory := client.get_connection_kwargs().get("directory"):
                flush_to_disk(directory)
            client.set(SERVER_RUN, run)
            client.delete(turn)
            return
        time.sleep(0.005)
