"""The library on a server of the tests' own: `octet` on each real one, `any_octet` also on
fakeredis; and what tests ask of the store.

fakeredis is not Redis: it decodes cjson's input as UTF-8, knows no ACL and forgives a leaked
global. What must be true is asked of the real servers; fakeredis shows that the scripts keep to
what every server has.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import fakeredis
import pytest
import redis
from tests.support.redis_fixtures import PROGRAMS, Server, wait_for

from octet.base.errors import OctetError
from octet.base.vocabulary import GATES
from octet.client.api import Octet
from octet.core.agents.registry import LOCK_TTL_MS, Agent, Registration
from octet.core.locks.waiting import QueuePlace
from octet.core.tasks.record import HELD_STATES, TaskState
from octet.store.connection import open_client
from octet.store.script_files import load_script, script_names

SCRIPTS = script_names()
Snapshot = dict[str, Any]
_pids = itertools.count(1000)


@pytest.fixture
def octet(redis_url: str) -> Iterator[Octet]:
    """Project `p` on each real server, empty."""
    with Octet(open_client(redis_url), "p") as found:
        yield found


@pytest.fixture(params=["fakeredis", *PROGRAMS])
def any_octet(
    request: pytest.FixtureRequest, redis_servers: Callable[[str], Server]
) -> Iterator[Octet]:
    """Project `p` on fakeredis and on each real server, empty. A fresh fake each time: a global
    that leaks spoils it for good.
    """
    client = contextmanager(_fake if request.param == "fakeredis" else _real)
    with client(request.param, redis_servers) as connected, Octet(connected, "p") as found:
        yield found


def _fake(_: str, __: object) -> Iterator[redis.Redis]:
    client = fakeredis.FakeRedis(
        server=fakeredis.FakeServer(),
        decode_responses=True,
        encoding_errors="surrogateescape",
        protocol=2,
    )
    # one that it does not know would advance the tokens, because it is no server that could name
    # its run
    for name in SCRIPTS:
        client.script_load(load_script(name).text)
    yield client


def _real(family: str, servers: Callable[[str], Server]) -> Iterator[redis.Redis]:
    client = open_client(servers(family).url)
    client.flushall()
    client.script_flush()
    yield client


@pytest.fixture
def single_octet(redis_servers: Callable[[str], Server]) -> Iterator[Octet]:
    """Project `p` on one real server, for what is slow and would tell nothing new on the other."""
    with contextmanager(_real)("redis", redis_servers) as client, Octet(client, "p") as found:
        yield found


@pytest.fixture
def only_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiter looks again by itself: a wait ends because it was told, or too late for
    the test.
    """
    for module in ("store.subscription", "patterns.queue", "patterns.state", "patterns.pipeline"):
        monkeypatch.setattr(f"octet.{module}.LOOK_EVERY_S", 600.0)


def try_in_queue(
    octet: Octet, agent: Agent, resources: Sequence[str], place: QueuePlace, scope: str = "own"
) -> Mapping[str, str]:
    """One try of a waiter for locks, which keeps its place when it is refused."""
    return octet.locks._acquire(agent, resources, scope, LOCK_TTL_MS, place)


def join(octet: Octet, role: str = "developer", **facts: Any) -> Agent:
    """A new agent with a process of its own."""
    pid = next(_pids)
    wanted = {
        "role": role,
        "kind": "session",
        "process": f"test-host:{pid}:1",
        "pid": pid,
        "host": "test-host",
        **facts,
    }
    return octet.agents.register(Registration(**wanted)).agent


def merging(octet: Octet, guardian: Agent, developer: Agent, title: str = "built") -> Any:
    """A task that `developer` has built and `guardian` is merging."""
    added = octet.tasks.add(title, priority=900)
    built = octet.tasks.claim(developer, task_id=added.id)
    octet.tasks.submit(built.id, built.token, branch=f"octet/{built.id}", commit="c0ffee")
    return octet.tasks.claim(guardian, "merge", task_id=added.id)


def looks(client: Any) -> int:
    """How often anybody has looked for something, by a script or plainly; grows when one that waits
    has looked in vain.
    """
    stats = client.info("commandstats")
    return sum(
        stats.get(f"cmdstat_{name}", {}).get("calls", 0)
        for name in ("evalsha", "eval", "get", "getdel", "hgetall")
    )


def outcome(call: Callable[[], Any]) -> Any:
    """What `call` returns, or the error of Octet's that it raises."""
    try:
        return call()
    except OctetError as error:
        return error


def woken(octet: Octet, call: Callable[[], Any], act: Callable[[], Any]) -> Any:
    """What `call` answers, or raises, after `act`, which comes when it waits."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(outcome(call)))
    before = looks(octet.store.client)
    thread.start()
    wait_for(
        lambda: looks(octet.store.client) > before and octet.store.client.pubsub_channels() != [],
        "it waits",
    )
    act()
    thread.join(30)
    return answers[0]


def snapshot(client: Any) -> Snapshot:
    """Every key with its type and all it holds, except TTLs."""
    keys = sorted(client.scan_iter(count=1000))
    types = client.pipeline(transaction=False)
    for key in keys:
        types.type(key)
    kinds = types.execute()
    values = client.pipeline(transaction=False)
    for key, kind in zip(keys, kinds, strict=True):
        _read(values, key, kind)
    return dict(zip(keys, zip(kinds, values.execute(), strict=True), strict=True))


def _read(client: Any, key: str, kind: str) -> None:
    match kind:
        case "string":
            client.get(key)
        case "hash":
            client.hgetall(key)
        case "set":
            client.smembers(key)
        case "list":
            client.lrange(key, 0, -1)
        case "zset":
            client.zrange(key, 0, -1, withscores=True)
        case _:
            client.xrange(key)


def contradictions(octet: Octet) -> list[str]:
    """What in the store contradicts itself: a task in two places or in none, a claim or lock
    without its other half.
    """
    client, keys = octet.store.client, octet.store.keys
    names = client.smembers(keys.queues)
    queues = {keys.priority, *(keys.stage(name.removesuffix(":")) for name in names)}
    indexes = {
        str(state): set(client.zrange(keys.state(state), 0, -1))
        for state in TaskState
        if state != TaskState.PENDING
    }
    queued = [task_id for queue in queues for task_id in client.zrange(queue, 0, -1)]
    indexes["pending"] = set(queued)
    found = [
        f"{task_id} stands in two queues"
        for task_id in indexes["pending"]
        if queued.count(task_id) > 1
    ]
    tasks = {
        key.removeprefix(keys.task("")): client.hgetall(key)
        for key in client.scan_iter(keys.task("") + "*", count=1000)
    }
    for task_id, task in tasks.items():
        where = [name for name, ids in indexes.items() if task_id in ids]
        if where != [task.get("state")]:
            found.append(f"task {task_id} is {task.get('state')} and stands under {where}")
        gates = [gate for gate in GATES if client.zscore(keys.stage(gate), task_id) is not None]
        if gates != ([task["stage"]] if task["state"] == "submitted" else []):
            found.append(
                f"task {task_id} is {task['state']} at {task['stage']} and stands in the "
                f"queues {gates}"
            )
        held = task["state"] in HELD_STATES
        if held != bool(task.get("holder")) or (
            held and not client.sismember(keys.claims(task["holder"]), task_id)
        ):
            found.append(
                f"task {task_id} is {task['state']}, held by {task.get('holder')!r}, which "
                "its holder's claims contradict"
            )
        flies = task["state"] in {*HELD_STATES, "submitted"} and task.get("paths", "[]") != "[]"
        scope = client.hget(keys.scopes, task_id)
        if (flies and scope != "+" + task["paths"]) or (
            not flies and scope and task["state"] != "pending"
        ):
            found.append(f"task {task_id} is {task['state']} and its scope is {scope}")
        waits = {
            other
            for other in json.loads(task.get("after", "[]"))
            if tasks[other]["state"] != "done"
        }
        if client.smembers(keys.after(task_id)) != waits or (
            task["state"] == "blocked" and not waits
        ):
            found.append(
                f"task {task_id} is {task['state']} and waits for {waits}: "
                f"{client.smembers(keys.after(task_id))}"
            )
    for key in client.scan_iter(keys.claims("") + "*"):
        agent = key.removeprefix(keys.claims(""))
        found += [
            f"{agent} claims {i}, which is not its"
            for i in client.smembers(key)
            if tasks.get(i, {}).get("holder") != agent
        ]
    registered, living = set(client.hkeys(keys.registry)), set(client.hkeys(keys.incarnations))
    if registered != living or set(client.hvals(keys.processes)) - living:
        found.append(
            f"registry {registered}, incarnations {living}, processes "
            f"{client.hgetall(keys.processes)}"
        )
    for lock in octet.locks.list():
        if lock.token and not client.sismember(keys.agent_locks(lock.holder), lock.resource):
            found.append(f"{lock.resource} is not in the locks of its holder {lock.holder}")
    return found
