"""One orchestrator of the election test: writes in its role as fast as it is let, leader or not,
and says what came of it.

Usage: election_worker.py URL PROJECT HISTORY LEASE_MS
SIGTERM lets it leave. Once it has expired, it registers again, as a session's next hook does.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.chaos.history import Recorder

from octet.base.errors import AgentGone, NotLeading
from octet.base.process import identify
from octet.client.api import Octet
from octet.core.agents.registry import Agent, Registration
from octet.store.connection import open_client


class Leave(Exception):
    """SIGTERM came."""


def leave(*_: object) -> None:
    raise Leave


def main() -> None:
    url, project, history, lease_ms = sys.argv[1:]
    octet = Octet(open_client(url), project)
    recorder = Recorder(Path(history))
    me = identify(os.getpid())
    assert me
    wanted = Registration(
        role="orchestrator",
        kind="external",
        process=str(me),
        pid=me.pid,
        host=me.host,
        lease_ms=int(lease_ms),
    )
    agent = octet.agents.register(wanted).agent
    signal.signal(signal.SIGTERM, leave)
    print(agent.id, flush=True)
    try:
        while True:
            write(octet, recorder, agent)
            if not octet.agents.heartbeat([agent], int(lease_ms))[0]:
                agent = octet.agents.register(wanted).agent
            time.sleep(0.01)
    except Leave:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        octet.agents.leave(agent)


def write(octet: Octet, recorder: Recorder, agent: Agent) -> None:
    """One task, under this incarnation; the answer says whether it was taken."""
    with recorder.operation("add", incarnation=agent.incarnation) as answer:
        try:
            answer["task"] = octet.tasks.add(f"{agent.id} {agent.incarnation}", by=agent).id
        except (NotLeading, AgentGone) as error:
            answer["refused"] = str(error)


main()
