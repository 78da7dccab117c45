"""Redis rolls nothing back: whatever stands in a key that was made by hand, a script is refused before its first write, or goes through."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.store_fixtures import contradictions, join, merging, snapshot

from octet.agents import Agent, Registration
from octet.api import Octet
from octet.errors import NothingToClaim, OctetError, StoreSpoiled
from octet.pipelines import Turn
from octet.queues import Item
from octet.records import Finding, NewRecord
from octet.tasks import Task


OWN_USE = ("}:queue", "}:state", "}:counter:", "}:kv:", "}:map:", "}:error", "}:progress:", "}:pipeline:")
EXPIRING = (":locks:path", ":locks:name", ":heartbeat:", *OWN_USE)


@dataclass
class World:
    """A project in the middle of its life, that can be put back as it was."""

    octet: Octet
    developer: Agent
    child: Agent
    guardian: Agent
    idle: Agent
    task: Task
    merge: Task
    item: Item
    mapped: Item
    turn: Turn
    version: str
    lock: str
    kept: dict[str, str]

    def restore(self) -> None:
        pipe = self.octet.store.client.pipeline(transaction=False)
        pipe.flushall()
        for key, dump in self.kept.items():
            expires = any(part in key for part in EXPIRING)
            pipe.restore(key, 60_000 if expires else 0, dump)
        pipe.execute()


@pytest.fixture
def world(single_octet: Octet) -> World:
    octet = single_octet
    developer, guardian, idle = join(octet, session="s1"), join(octet, "repository-guardian"), join(octet)
    child = join(octet, parent=developer.id, process=f"{developer.process}#a1", session="s1#a1")
    for title in ("done", "dead", "submitted"):
        task = octet.tasks.add(title, max_attempts=1)
        task = octet.tasks.claim(idle, task_id=task.id)
        if title == "done":
            octet.tasks.complete(task.id, task.token)
        elif title == "dead":
            octet.tasks.fail(task.id, task.token, "no")
        else:
            octet.tasks.submit(task.id, task.token, branch="b")
    merge = merging(octet, guardian, developer)
    octet.store.client.hset(octet.store.keys.reviews(merge.id), "1", "{}")
    octet.tasks.add("waiting")
    added = octet.tasks.add("in work", priority=10)
    task = octet.tasks.claim(developer, task_id=added.id)
    octet.locks.acquire(developer, ["path:a", "path:b"], scope="turn")
    octet.locks.acquire(child, ["path:b"], scope="turn")
    octet.locks.acquire(guardian, ["name:m"])
    lock = octet.locks.acquire(developer, ["name:x"])["name:x"]
    octet.messages.send(developer.id, "first", sender="x")
    octet.messages.take(developer)
    octet.messages.send(developer.id, "second", sender="x")
    octet.store.client.lpush(octet.store.keys.pending, "raw")
    octet.store.client.zadd(octet.store.keys.priority, {"by hand": 500})
    item = _own_use(octet)
    mapped, turn = _own_work(octet)
    version = octet.state("s").set("a", 1)
    client = octet.store.client
    kept = {key: client.dump(key) for key in client.scan_iter(count=1000)}
    return World(octet, developer, child, guardian, idle, task, merge, item, mapped, turn, version, lock, kept)


def _own_use(octet: Octet) -> Item:
    """A queue with an item of every sort, a state, a counter and a message; returns the item that is leased."""
    queue = octet.queue("q")
    queue.push("dead", "back", "leased", "ready")
    queue.nack(queue.reserve(), dead=True)
    back = queue.reserve()
    item = queue.reserve()
    queue.nack(back, delay_s=30)
    octet.counter("c").set(5)
    octet.kv.put("k", [1])
    return item


RECORD = NewRecord("changes", "x", (Finding("a.py", 1, "note", "x"),))


def _own_work(octet: Octet) -> tuple[Item, Turn]:
    """A map with items in every state, errors, a progress and a pipeline in its second step; returns what is leased."""
    octet.map("m").start(["done", "failed", "leased", "ready"])
    octet.map("m").done(octet.map("m").take(), 1)
    octet.map("m").fail(octet.map("m").take(), "no")
    mapped = octet.map("m").take()
    octet.progress("x").set(1, total=3)
    octet.pipeline("p").start("one", "two", "three")
    octet.pipeline("p").done(octet.pipeline("p").begin(), 1)
    return mapped, octet.pipeline("p").begin()
