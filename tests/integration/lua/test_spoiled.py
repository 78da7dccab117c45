"""Redis rolls nothing back: whatever stands in a key that was made by hand, a script is refused
before its first write, or goes through.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.store_fixtures import contradictions, join, merging, snapshot, try_in_queue

from octet.base.errors import LockHeld, NothingToClaim, OctetError, StoreSpoiled
from octet.client.api import Octet
from octet.core.agents.registry import Agent, Registration
from octet.core.locks.waiting import QueuePlace, give_up
from octet.core.messaging.event_log import LogReader
from octet.core.tasks.record import Task
from octet.core.tasks.verdicts import Finding, NewRecord
from octet.core.usage.transcripts import Tokens
from octet.patterns.pipeline import StepClaim
from octet.patterns.queue import Item
from octet.project.config import Config

OWN_USE = (
    "}:queue",
    "}:state",
    "}:counter:",
    "}:kv:",
    "}:map:",
    "}:error",
    "}:progress:",
    "}:pipeline:",
)
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
    turn: StepClaim
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
    developer, guardian, idle = (
        join(octet, session="s1"),
        join(octet, "repository-guardian"),
        join(octet),
    )
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
    octet.locks.acquire(guardian, ["name:m", "path:docs/"])
    for waiter in (idle, guardian):
        with pytest.raises(LockHeld):
            try_in_queue(octet, waiter, ["path:a", "path:*.md"], QueuePlace(waiter.id))
    lock = octet.locks.acquire(developer, ["name:x"])["name:x"]
    octet.messages.send(developer.id, "first", sender="x")
    octet.messages.read(developer)
    octet.messages.send(developer.id, "second", sender="x")
    octet.store.client.lpush(octet.store.keys.pending, "raw")
    octet.store.client.zadd(octet.store.keys.priority, {"by hand": 500})
    item = _own_use(octet)
    mapped, turn = _own_work(octet)
    version = octet.state("s").set("a", 1)
    _orchestrators(octet)
    client = octet.store.client
    kept = {key: client.dump(key) for key in client.scan_iter(count=1000)}
    return World(
        octet,
        developer,
        child,
        guardian,
        idle,
        task,
        merge,
        item,
        mapped,
        turn,
        version,
        lock,
        kept,
    )


def _own_use(octet: Octet) -> Item:
    """A queue with an item of every sort, a state, a counter and a message; returns the item that
    is leased.
    """
    queue = octet.queue("q")
    queue.push("dead", "back", "leased", "ready")
    queue.nack(queue.reserve(), dead=True)
    back = queue.reserve()
    item = queue.reserve()
    queue.nack(back, delay_s=30)
    octet.counter("c").set(5)
    octet.kv.put("k", [1])
    return item


def _orchestrators(octet: Octet) -> None:
    """One that leads, one that waits, one whose lease ran out; and what an agent has used."""
    leads, _, slept = (join(octet, "orchestrator") for _ in range(3))
    octet.store.client.delete(octet.store.keys.heartbeat(slept.id))
    octet.agents.expire_silent(slept)
    keys = octet.store.keys
    octet.store.client.set(keys.cost_read("/t"), "{}")
    for key in (keys.cost_agents, keys.cost_tasks, keys.cost_days):
        octet.store.client.hset(key, leads.id, "1 2 3 4 5")
    octet.store.client.hset(keys.cost_budgets, "day:2020-01-01", "100")


def leader(world: World) -> Agent:
    return world.octet.agents.get("orchestrator-1")


def add_cost(world: World) -> Any:
    sums = {"1": Tokens(1, 2, 3, 4, 5)}
    return world.octet.cost._add(
        Path("/t"), "{}", "{}", world.idle, Config("p", budget_day_tokens=5), sums
    )


def wait_for_b(world: World) -> None:
    with suppress(LockHeld):  # a refusal that keeps the place
        try_in_queue(world.octet, world.idle, ["path:b"], QueuePlace())


RECORD = NewRecord("changes", "x", (Finding("a.py", 1, "note", "x"),))


def _own_work(octet: Octet) -> tuple[Item, StepClaim]:
    """A map with items in every state, errors, a progress and a pipeline in its second step;
    returns what is leased.
    """
    octet.map("m").start(["done", "failed", "leased", "ready"])
    octet.map("m").done(octet.map("m").take(), 1)
    octet.map("m").fail(octet.map("m").take(), "no")
    mapped = octet.map("m").take()
    octet.progress("x").set(1, total=3)
    octet.pipeline("p").start("one", "two", "three")
    octet.pipeline("p").done(octet.pipeline("p").begin(), 1)
    return mapped, octet.pipeline("p").begin()


Step = Callable[[World], Any]
TASK_STEPS: dict[str, Step] = {
    "progress": lambda w: w.octet.tasks.progress(w.task.id, w.task.token, 70, "x"),
    "submit": lambda w: w.octet.tasks.submit(w.task.id, w.task.token, branch="b"),
    "complete": lambda w: w.octet.tasks.complete(w.task.id, w.task.token),
    "fail": lambda w: w.octet.tasks.fail(w.task.id, w.task.token, "why"),
    "release": lambda w: w.octet.tasks.release(w.task.id, w.task.token),
    "claim again": lambda w: w.octet.tasks.claim(w.developer),
    "list": lambda w: (
        w.octet.tasks.list(),
        w.octet.tasks.counts(),
        w.octet.tasks.held_by(w.developer.id),
        w.octet.tasks.get(w.task.id),
    ),
    "expire": lambda w: w.octet.agents.expire(w.developer),
    "leave": lambda w: w.octet.agents.leave(w.developer),
}
MERGE_STEPS: dict[str, Step] = {
    "merge complete": lambda w: w.octet.tasks.complete(w.merge.id, w.merge.token),
    "merge fail": lambda w: w.octet.tasks.fail(w.merge.id, w.merge.token, "why"),
    "merge release": lambda w: w.octet.tasks.release(w.merge.id, w.merge.token),
    "merge send back": lambda w: w.octet.tasks.send_back(w.merge.id, w.merge.token, "why"),
    "merge send back with a record": lambda w: w.octet.tasks.send_back(
        w.merge.id, w.merge.token, record=RECORD
    ),
    "merge complete with a record": lambda w: w.octet.tasks.complete(
        w.merge.id, w.merge.token, record=RECORD
    ),
    "merge renew": lambda w: w.octet.tasks.renew(
        w.merge.id, agent=w.guardian, token=w.merge.token, branch="b", commit="c1"
    ),
    "merge expire": lambda w: w.octet.agents.expire(w.guardian),
}
STEPS: dict[str, Step] = {
    **TASK_STEPS,
    **MERGE_STEPS,
    "add": lambda w: w.octet.tasks.add("new"),
    "add named": lambda w: w.octet.tasks.add("new", task_id="named"),
    "claim": lambda w: w.octet.tasks.claim(w.idle),
    "claim by name": lambda w: w.octet.tasks.claim(w.idle, task_id="by hand"),
    "renew": lambda w: w.octet.tasks.renew("3", agent=w.idle, branch="b", commit="c1"),
    "records": lambda w: w.octet.tasks.records(w.merge.id),
    "claim merge": lambda w: w.octet.tasks.claim(w.idle, "merge"),
    "register": lambda w: join(w.octet, session="s9"),
    "register again": lambda w: join(w.octet, process=w.developer.process, session="s1"),
    "register named": lambda w: w.octet.agents.register(Registration(role="guest", name="ci")),
    "join": lambda w: w.octet.agents.join(w.developer, "architect"),
    "register orchestrator": lambda w: join(w.octet, "orchestrator"),
    "lead no more": lambda w: w.octet.agents.leave(leader(w)),
    "add as orchestrator": lambda w: w.octet.tasks.add("new", by=leader(w)),
    "cancel as orchestrator": lambda w: w.octet.tasks.cancel(w.task.id, by=leader(w)),
    "who leads": lambda w: w.octet.election.position(leader(w)),
    "cost": lambda w: (
        w.octet.cost.agents(),
        w.octet.cost.tasks(),
        w.octet.cost.reached(Config("p", budget_day_tokens=5)),
    ),
    "add cost": add_cost,
    "read the log": lambda w: LogReader(w.octet.store, "0-0").read(),
    "beat": lambda w: w.octet.agents.heartbeat([w.developer, w.idle]),
    "update": lambda w: w.octet.agents.update(w.developer, branch="x"),
    "pause": lambda w: w.octet.work_states.pause(w.developer, "lunch"),
    "expired": lambda w: w.octet.agents.expire_silent(w.idle),
    "agents": lambda w: (
        w.octet.agents.list(),
        w.octet.agents.without_heartbeat(),
        w.octet.agents.find(w.idle.process),
    ),
    "session": lambda w: w.octet.agents.name_of_session("s1"),
    "acquire": lambda w: w.octet.locks.acquire(w.idle, ["path:new", "name:new"]),
    "acquire again": lambda w: w.octet.locks.acquire(w.developer, ["path:a", "name:x", "path:new"]),
    "acquire of parent": lambda w: w.octet.locks.acquire(
        w.child, ["path:a", "name:x"], scope="turn"
    ),
    "release lock": lambda w: w.octet.locks.release("name:x", w.lock),
    "break lock": lambda w: w.octet.locks.break_lock("name:x", "ann"),
    "acquire wide": lambda w: w.octet.locks.acquire(w.idle, ["path:new/"]),
    "wait": lambda w: wait_for_b(w),
    "give up": lambda w: give_up(w.octet.store, QueuePlace(w.idle.id)),
    "end turn": lambda w: w.octet.locks.end_turn(w.child),
    "locks": lambda w: (w.octet.locks.list(), w.octet.locks.get("name:x")),
    "send": lambda w: w.octet.messages.send(w.developer.id, "x", sender="y"),
    "read": lambda w: w.octet.messages.read(w.developer),
    "look": lambda w: w.octet.messages.snapshot(w.developer),
    "publish": lambda w: w.octet.events.publish("note", {"a": 1}),
    "log": lambda w: (w.octet.events.log(), list(w.octet.events.replay("0"))),
    "push": lambda w: w.octet.queue("q").push("x"),
    "reserve": lambda w: w.octet.queue("q").reserve(),
    "pop": lambda w: w.octet.queue("q").pop(),
    "ack": lambda w: w.octet.queue("q").ack(w.item),
    "nack": lambda w: w.octet.queue("q").nack(w.item),
    "nack for good": lambda w: w.octet.queue("q").nack(w.item, dead=True),
    "extend": lambda w: w.octet.queue("q").extend(w.item),
    "revive": lambda w: w.octet.queue("q").revive(),
    "queue": lambda w: [
        f() for q in [w.octet.queue("q")] for f in (q.stats, q.peek, q.leased, q.returned, q.dead)
    ],
    "set": lambda w: w.octet.state("s").set_many({"a": 2, "b": 3}),
    "compare and set": lambda w: w.octet.state("s").compare_and_set("a", 2, w.version),
    "incr": lambda w: w.octet.state("s").incr("a"),
    "delete": lambda w: w.octet.state("s").delete("a", version=w.version),
    "clear": lambda w: w.octet.state("s").clear(),
    "state": lambda w: w.octet.state("s").read_all(),
    "count": lambda w: w.octet.counter("c").incr(),
    "set counter": lambda w: w.octet.counter("c").set(1),
    "counter": lambda w: w.octet.counter("c").get(),
    "put": lambda w: w.octet.kv.put("k", 1),
    "get": lambda w: w.octet.kv.get("k"),
    "start map": lambda w: w.octet.map("m").start(["x"]),
    "take item": lambda w: w.octet.map("m").take(),
    "item done": lambda w: w.octet.map("m").done(w.mapped, 2),
    "item failed": lambda w: w.octet.map("m").fail(w.mapped, "no"),
    "map": lambda w: (w.octet.map("m").tally(), w.octet.map("m").results()),
    "add error": lambda w: w.octet.errors("m").add("x"),
    "errors": lambda w: (w.octet.errors("m").list(), w.octet.errors("m").check()),
    "go on": lambda w: w.octet.progress("x").add(),
    "progress": lambda w: w.octet.progress("x").read(),
    "start pipeline": lambda w: w.octet.pipeline("p").start("one", "two", "three"),
    "begin": lambda w: w.octet.pipeline("p").begin("three"),
    "step done": lambda w: w.octet.pipeline("p").done(w.turn, 1),
    "pipeline": lambda w: w.octet.pipeline("p").steps(),
    "take value": lambda w: w.octet.kv.take("k"),
}


def spoil(world: World, key: str) -> None:
    """Put a value of another type in the key's place."""
    client = world.octet.store.client
    kind = client.type(key)
    client.delete(key)
    client.rpush(key, "spoiled") if kind == "string" else client.set(key, "spoiled")


@pytest.mark.parametrize("name", STEPS)
def test_a_key_of_the_wrong_type(world: World, name: str) -> None:
    """For every key: the step goes through, or is refused in words and changes nothing."""
    refusals = []
    for key in world.kept:
        world.restore()
        spoil(world, key)
        error, changed = attempt(world, STEPS[name])
        # What notes that it was asked: how often a task was passed over, which lock a tool call was
        # denied.
        assert not (error and changed) or isinstance(error, NothingToClaim | LockHeld), (key, error)
        refusals.append(isinstance(error, StoreSpoiled))
    assert any(refusals)


def attempt(world: World, step: Step) -> tuple[OctetError | None, bool]:
    """How the step was refused, if it was, and whether anything in the store has changed."""
    before = snapshot(world.octet.store.client)
    try:
        step(world)
    except OctetError as error:
        return error, snapshot(world.octet.store.client) != before
    return None, True


@pytest.mark.parametrize(
    "name", ["claim", "add", "expire", "complete", "acquire", "register", "publish"]
)
def test_the_refusal_names_the_key_where_redis_would_not(world: World, name: str) -> None:
    """The log's spoiled key is named by whatever would write it."""
    spoil(world, world.octet.store.keys.log)
    with pytest.raises(StoreSpoiled, match=r"workflow:\{p\}:log holds something else.*DEL"):
        STEPS[name](world)


NUMBERS = [
    "priority",
    "order",
    "attempts",
    "gate_attempts",
    "max_attempts",
    "progress",
    "records",
    "created_ms",
]
NO_NUMBERS = [
    "",
    "x",
    "nan",
    "inf",
    "-inf",
    "-1",
    "1e999",
    "0x10",
    "1.5",
    "99999999999999999999",
    "\udcff",
    None,
]
TEXTS = [
    "id",
    "stage",
    "holder",
    "token",
    "title",
    "branch",
    "author",
    "labels",
    "gates",
    "commit",
    "process",
    "author_process",
]


@pytest.mark.parametrize(
    ("fields", "values"),
    [(NUMBERS, NO_NUMBERS), *(([field], ["", "x", "\udcff", None]) for field in TEXTS)],
    ids=["numbers", *TEXTS],
)
def test_spoiled_fields_of_a_task(
    world: World, fields: list[str], values: list[str | None]
) -> None:
    """Whatever the fields of a task say, a step is refused and changes nothing, or leaves the task
    in exactly one place.
    """
    steps = [(world.task, step) for step in TASK_STEPS.values()] + [
        (world.merge, step) for step in MERGE_STEPS.values()
    ]
    for value, (task, step) in itertools.product(values, steps):
        world.restore()
        key, client = world.octet.store.keys.task(task.id), world.octet.store.client
        client.hdel(key, *fields) if value is None else client.hset(
            key, mapping=dict.fromkeys(fields, value)
        )
        error, changed = attempt(world, step)
        assert not (error and changed), (value, error)
        if not error and fields != ["holder"]:  # who holds it is what the claims must agree with
            assert contradictions(world.octet) == [], value


def test_what_was_spoiled_can_be_claimed_again(world: World) -> None:
    """A task with every number spoiled is requeued, claimed, built, merged and done."""
    octet, keys = world.octet, world.octet.store.keys
    spoiled = dict.fromkeys(
        ["priority", "order", "attempts", "max_attempts", "progress", "created_ms"], "spoiled"
    )
    octet.store.client.hset(keys.task(world.task.id), mapping=spoiled)
    octet.tasks.release(world.task.id, world.task.token)
    task = octet.tasks.claim(world.idle, task_id=world.task.id)
    octet.tasks.submit(task.id, task.token, branch="b")
    octet.store.client.delete(keys.claims(world.guardian.id))
    task = octet.tasks.claim(world.guardian, "merge", task_id=task.id)
    octet.tasks.complete(task.id, task.token)
    assert octet.tasks.get(task.id).state == "done"


def test_a_task_deleted_by_hand_is_held_by_nobody(world: World) -> None:
    """Its claim is forgotten, its holder takes another, and can be expired."""
    octet = world.octet
    octet.store.client.delete(octet.store.keys.task(world.task.id))
    assert list(octet.tasks.held_by(world.developer.id)) == []
    assert octet.tasks.claim(world.developer).title == "by hand"
    assert octet.agents.expire(world.developer) is not None
    assert world.task.id not in [task.id for task in octet.tasks.list()]


def test_a_dead_agent_is_buried_whatever_stands_in_its_own_keys(world: World) -> None:
    """Claims, locks, heartbeat, session and lock values of other types do not keep a dead agent on
    the registry.
    """
    octet, keys, dead = world.octet, world.octet.store.keys, world.developer
    for key in (
        keys.claims(dead.id),
        keys.agent_locks(dead.id),
        keys.heartbeat(dead.id),
        keys.session("s1"),
        keys.lock("path:a"),
    ):
        world.restore()
        spoil(world, key)
        assert octet.agents.expire(dead) is not None
        assert dead.id not in [agent.id for agent in octet.agents.list()]


def test_refused_agents_are_not_half_there(world: World) -> None:
    """An agent that asks to replace one of an older incarnation is refused, and the younger one
    keeps all it has.
    """
    octet = world.octet
    before = snapshot(octet.store.client)
    with pytest.raises(OctetError):
        octet.agents.join(replace(world.developer, incarnation="0"), "architect")
    assert snapshot(octet.store.client) == before
