"""One worker of the claim test: claims and completes until nothing is left, and records what it did.

Usage: claim_worker.py URL PROJECT NAME HISTORY START_FILE
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from history import Recorder

from octet.agents import Agents, Registration
from octet.errors import AgentGone, NothingToClaim, StaleToken
from octet.process import identify
from octet.store.connection import open_client
from octet.store.keys import Keys
from octet.store.scripts import Store
from octet.tasks import Tasks


def main() -> None:
    url, project, name, history, start = sys.argv[1:]
    store = Store(open_client(url), Keys(project))
    agents, tasks = Agents(store), Tasks(store)
    recorder = Recorder(Path(history), name)
    me = identify(os.getpid())
    assert me
    wanted = Registration(role="worker", kind="external", process=str(me), pid=me.pid, host=me.host)
    agent = agents.register(wanted).agent
    print("ready", flush=True)
    while not Path(start).exists():
        time.sleep(0.005)
    while True:
        try:
            with recorder.operation("claim") as answer:
                task = tasks.claim(agent)
                answer.update(task=task.id, token=task.token)
        except NothingToClaim:
            if tasks.counts()["done"] == tasks_total(store):
                return
            time.sleep(0.01)
            continue
        except AgentGone:
            return
        with recorder.operation("complete", task=task.id, token=task.token) as answer:
            try:
                tasks.complete(task.id, task.token, result=name)
                answer["result"] = "done"
            except StaleToken:
                answer["result"] = "stale"


def tasks_total(store: Store) -> int:
    return int(store.client.get(store.keys.task_seq) or 0)


main()
