"""One worker of the claim test: claims and completes until nothing is left, and records what it
did.

Usage: claim_worker.py URL PROJECT NAME HISTORY START_FILE
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.chaos.history import Recorder
from tests.support.waiting import poll

from octet.base.errors import AgentGone, NothingToClaim, StaleToken
from octet.base.process import identify
from octet.core.agents.registry import Agent, Agents, Registration
from octet.core.tasks.record import Task
from octet.core.tasks.tasks import Tasks
from octet.store.connection import open_client
from octet.store.keys import Keys
from octet.store.scripts import Store

START_WITHIN_S = 120.0


def main() -> None:
    url, project, name, history, start = sys.argv[1:]
    store = Store(open_client(url), Keys(project))
    agents, tasks = Agents(store), Tasks(store)
    recorder = Recorder(Path(history))
    me = identify(os.getpid())
    assert me
    wanted = Registration(role="worker", kind="external", process=str(me), pid=me.pid, host=me.host)
    with recorder.operation("register", lease_ms=0) as answer:
        agent = agents.register(wanted).agent
        answer |= {"agent": agent.id, "incarnation": agent.incarnation}
    print("ready", flush=True)
    poll(Path(start).exists, "the start", START_WITHIN_S)
    while task := claim(store, agent, recorder):
        with recorder.operation(
            "complete", agent=agent.id, task=task.title, token=task.token
        ) as answer:
            try:
                tasks.complete(task.id, task.token, result=name)
            except StaleToken:
                answer["outcome"] = "stale"


def claim(store: Store, agent: Agent, recorder: Recorder) -> Task | None:
    """The next task; None when all are done, or this agent counts as dead."""
    tasks = Tasks(store)
    while True:
        with recorder.operation("claim", agent=agent.id, stage="build") as answer:
            try:
                task = tasks.claim(agent)
                answer |= {"task": task.title, "token": task.token}
                return task
            except NothingToClaim:
                answer["outcome"] = "empty"
            except AgentGone:
                answer["outcome"] = "gone"
                return None
        if tasks.counts()["done"] == tasks_total(store):
            return None
        time.sleep(0.01)


def tasks_total(store: Store) -> int:
    return int(store.client.get(store.keys.task_seq) or 0)


main()
