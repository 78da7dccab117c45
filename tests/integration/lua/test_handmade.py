"""Hand-written keys, as by redis-cli: the public key layout's lines, and invalid values."""

from __future__ import annotations

import json
import threading

import pytest
from tests.support.redis_fixtures import wait_for
from tests.support.store_fixtures import contradictions, join

from octet.base.errors import LockHeld, NotFound, NothingToClaim
from octet.base.vocabulary import GUEST
from octet.client.api import Octet

DEEP = '{"title": "deep", "x": ' + "[" * 2000 + "]" * 2000 + "}"
RAW_JSON = {
    '{"title": "plain", "priority": 7, "description": "what to do"}': ("plain", 7),
    '{"title": "number in text", "priority": "12.5"}': ("number in text", 12.5),
    '{"title": "NaN", "priority": NaN}': ("NaN", 0),
    '{"title": "huge", "priority": 1e999}': ("huge", 1000),
    '{"title": "tiny", "priority": -1e300}': ("tiny", -1000),
    '{"title": "odd", "priority": {"a": 1}, "description": 5}': ("odd", 0),
    '{"title": "true", "priority": true}': ("true", 0),
    '{"title": "  "}': ("(no title)", 0),
}
NO_RECORD = [
    "null",
    "[]",
    "5",
    '"text"',
    "true",
    '{"title": null}',
    '{"title": ["a"]}',
    "{}",
    '{"a": 1',
    DEEP,
]


def claim_all(octet: Octet) -> dict[str, float]:
    agent = join(octet)
    found: dict[str, float] = {}
    while True:
        try:
            task = octet.tasks.claim(agent)
        except NothingToClaim:
            return found
        found[task.title] = task.priority
        octet.tasks.complete(task.id, task.token)
        assert contradictions(octet) == []


@pytest.mark.parametrize("raw", RAW_JSON)
def test_a_raw_json_task(octet: Octet, raw: str) -> None:
    """A JSON object on the plain list gives title, priority and description; what is out of bounds
    is brought inside.
    """
    octet.store.client.lpush(octet.store.keys.pending, raw)
    title, priority = RAW_JSON[raw]
    assert claim_all(octet) == {title: priority}


@pytest.mark.parametrize("raw", NO_RECORD)
def test_a_raw_value_that_is_no_record(octet: Octet, raw: str) -> None:
    """Any other value is its own title, JSON or not."""
    octet.store.client.lpush(octet.store.keys.pending, raw)
    assert claim_all(octet) == {raw[:500]: 0}


def test_raw_values_come_in_order(any_octet: Octet) -> None:
    """The plain list is first in, first out, also past the hundred that one claim takes up."""
    client, keys = any_octet.store.client, any_octet.store.keys
    for number in range(250):
        client.lpush(keys.pending, f"raw {number}")
    assert any_octet.tasks.counts()["pending"] == 250
    agent = join(any_octet)
    titles = [any_octet.tasks.claim(agent, max_claims=1000).title for _ in range(250)]
    assert titles == [f"raw {number}" for number in range(250)]
    assert client.llen(keys.pending) == 0


def test_bytes_that_are_no_text(octet: Octet) -> None:
    """Bytes that are no UTF-8 come through every step and every reading as they were."""
    raw = b"\xff\xfe caf\xe9 \x00 \xed\xa0\x80"
    octet.store.client.lpush(octet.store.keys.pending, raw)
    agent = join(octet, cwd="/srv/\udcff\udcfe", session="\udcff")
    task = octet.tasks.claim(agent)
    assert task.title.encode("utf-8", "surrogateescape") == raw
    octet.tasks.progress(task.id, task.token, 10, note="\udcff")
    octet.tasks.submit(task.id, task.token, branch="caf\udce9")
    assert octet.tasks.get(task.id).branch == "caf\udce9"
    assert octet.agents.get(agent.id).cwd == "/srv/\udcff\udcfe"
    assert [event.type for event in octet.events.log(2)] == ["task_progress", "task_submitted"]
    assert octet.agents.expire(agent) is not None
    assert octet.store.client.hlen(octet.store.keys.processes) == 0


def test_a_long_raw_title_is_cut_at_a_character(octet: Octet) -> None:
    """A title of 500 bytes and more is cut where a character ends; all of it stays in `raw`."""
    raw = "a" + "ü" * 400
    octet.store.client.lpush(octet.store.keys.pending, raw)
    task = octet.tasks.claim(join(octet))
    assert task.title == "a" + "ü" * 249
    assert octet.store.client.hget(octet.store.keys.task(task.id), "raw") == raw


def test_a_name_put_into_the_priority_queue(any_octet: Octet) -> None:
    """`ZADD tasks:priority 100 "task:critical:security-fix"` is a task of that title, claimed in
    its turn.
    """
    client, keys = any_octet.store.client, any_octet.store.keys
    any_octet.tasks.add("more urgent", priority=101)
    any_octet.tasks.add("less urgent", priority=99)
    client.zadd(keys.priority, {"task:critical:security-fix": 100, "later": 100})
    agent = join(any_octet)
    tasks = [any_octet.tasks.claim(agent, max_claims=9) for _ in range(4)]
    assert [task.title for task in tasks][0::3] == ["more urgent", "less urgent"]
    assert {task.title for task in tasks[1:3]} == {"task:critical:security-fix", "later"}
    assert {task.priority for task in tasks[1:3]} == {100}
    assert contradictions(any_octet) == []


def test_a_name_put_into_the_queue_is_claimed_by_that_name(any_octet: Octet) -> None:
    """Asking for the name gives the task that it becomes; asking again says that it is gone."""
    any_octet.store.client.zadd(any_octet.store.keys.priority, {"task:critical:security-fix": 100})
    task = any_octet.tasks.claim(join(any_octet), task_id="task:critical:security-fix")
    assert (task.title, task.priority, task.state) == ("task:critical:security-fix", 100, "claimed")
    with pytest.raises(NotFound):
        any_octet.tasks.claim(join(any_octet), task_id="task:critical:security-fix")


def test_infinite_scores_of_names_by_hand(octet: Octet) -> None:
    """`ZADD … inf` and `-inf` are the highest and the lowest priority there is."""
    octet.store.client.zadd(
        octet.store.keys.priority, {"now": float("inf"), "never": float("-inf")}
    )
    octet.tasks.add("ordinary")
    assert list(claim_all(octet).items()) == [("now", 1000), ("ordinary", 0), ("never", -1000)]


def test_many_names_of_one_priority_cost_one_step_each(octet: Octet) -> None:
    """A claim takes one name of the queue and leaves the others, however many there are."""
    keys = octet.store.keys
    octet.store.client.zadd(keys.priority, {f"name {number}": 100 for number in range(5000)})
    octet.tasks.claim(join(octet))
    assert octet.store.client.zcard(keys.priority) == 4999
    assert octet.store.client.get(keys.task_seq) == "1"


def test_a_task_moved_in_the_queue_by_hand(any_octet: Octet) -> None:
    """A person who gives a waiting task another score changes the order and nothing else; a
    finished one put back is forgotten.
    """
    client, keys = any_octet.store.client, any_octet.store.keys
    first, second = any_octet.tasks.add("first"), any_octet.tasks.add("second")
    client.zadd(keys.priority, {second.id: 500})
    agent = join(any_octet)
    task = any_octet.tasks.claim(agent)
    assert task.id == second.id
    any_octet.tasks.complete(task.id, task.token)
    client.zadd(keys.priority, {second.id: 900})
    assert any_octet.tasks.claim(agent).id == first.id
    assert contradictions(any_octet) == []


def test_progress_by_hand(any_octet: Octet) -> None:
    """`HSET tasks:status:user-auth progress "50%"` can be read, and its name in the queue becomes a
    task.
    """
    client, keys = any_octet.store.client, any_octet.store.keys
    client.hset(keys.task("user-auth"), "progress", "50%")
    assert any_octet.tasks.get("user-auth").progress == 50
    client.zadd(keys.priority, {"user-auth": 1})
    task = any_octet.tasks.claim(join(any_octet))
    assert task.title == "user-auth"
    client.hset(keys.task(task.id), "progress", "50%")
    assert any_octet.tasks.list()[0].progress == 50


def test_a_lock_by_hand(any_octet: Octet) -> None:
    """`SET locks:repository:main agent:dev:001 NX EX 300` keeps everyone out, is listed, can be
    broken, cannot be released.
    """
    client, keys = any_octet.store.client, any_octet.store.keys
    client.set(keys.lock("repository:main"), "agent:dev:001", nx=True, ex=300)
    agent = join(any_octet)
    with pytest.raises(LockHeld) as held:
        any_octet.locks.acquire(agent, ["name:free", "repository:main"])
    assert (held.value.holder, held.value.resource) == ("agent:dev:001", "repository:main")
    assert 290_000 < held.value.ttl_ms <= 300_000
    assert [(lock.resource, lock.holder) for lock in any_octet.locks.list()] == [
        ("repository:main", "agent:dev:001")
    ]
    assert any_octet.locks.get("repository:main").holder == "agent:dev:001"
    assert any_octet.locks.break_lock("repository:main", "ann") == "agent:dev:001"
    assert any_octet.locks.acquire(agent, ["name:free", "repository:main"])


def test_a_lock_by_hand_in_ones_own_name(any_octet: Octet) -> None:
    """A lock set by hand in an agent's name becomes that agent's real one, token and all, and keeps
    its longer TTL.
    """
    agent = join(any_octet)
    any_octet.store.client.set(any_octet.store.keys.lock("name:x"), agent.id, ex=300)
    token = any_octet.locks.acquire(agent, ["name:x"])["name:x"]
    lock = any_octet.locks.get("name:x")
    assert (lock.holder, lock.token) == (agent.id, token)
    assert lock.ttl_ms > 290_000
    any_octet.locks.release("name:x", token)


LOCK_VALUES = [
    *(
        "",
        " ",
        "x",
        "null",
        "[]",
        "[1]",
        "5",
        '"developer-1"',
        "{}",
        '{"holder": null}',
        '{"holder": 5}',
        '{"holder": {"a": []}}',
    ),
    *(
        '{"holder": "developer-1"}',
        '{"holder": "developer-1", "token": 5, "task": 1e999, "since_ms": 1e999, "scope": []}',
        b"\xff\x00",
    ),
    *(
        '{"holder": "ghost", "token": "1", "task": null, "scope": {"a": "b"}}',
        "[" * 2000,
        "x" * 100_000,
    ),
]


@pytest.mark.parametrize("value", LOCK_VALUES)
@pytest.mark.parametrize("mine", [True, False])
def test_lock_values_that_are_none(octet: Octet, value: str | bytes, mine: bool) -> None:
    """Whatever stands in a lock, nothing breaks: others are kept out or let in as its holder's name
    says, and a person can break it.
    """
    keys, client = octet.store.keys, octet.store.client
    agent = join(octet)
    if mine:
        octet.locks.acquire(agent, ["name:x"], scope="turn")
    client.set(keys.lock("name:x"), value)
    lock = octet.locks.get("name:x")
    if lock.holder == agent.id:
        assert octet.locks.acquire(agent, ["name:x"])["name:x"]
    else:
        with pytest.raises(LockHeld):
            octet.locks.acquire(agent, ["name:x"])
    assert [found.resource for found in octet.locks.list()] == ["name:x"]
    assert list(octet.agents.heartbeat([agent])) == [True]
    octet.locks.end_turn(agent)
    octet.locks.acquire(agent, ["name:y"])
    if client.exists(keys.lock("name:x")):
        octet.locks.break_lock("name:x", "ann")
    assert octet.agents.expire(agent) is not None
    assert octet.locks.list() == []


def test_a_lock_for_ever_stays_for_ever(octet: Octet) -> None:
    """A lock that was set without a TTL gets none by being met."""
    agent = join(octet)
    octet.locks.acquire(agent, ["name:x"])
    octet.store.client.persist(octet.store.keys.lock("name:x"))
    octet.agents.heartbeat([agent])
    octet.locks.acquire(agent, ["name:x"])
    assert octet.locks.get("name:x").ttl_ms == -1


def test_a_heartbeat_by_hand(any_octet: Octet) -> None:
    """`SETEX heartbeat:agent:001 30 alive` is a heartbeat like any other; of whatever type it is,
    the agent's own replaces it.
    """
    client, keys = any_octet.store.client, any_octet.store.keys
    client.execute_command("SETEX", keys.heartbeat("agent:001"), 30, "alive")
    agent = join(any_octet)
    client.delete(keys.heartbeat(agent.id))
    assert list(any_octet.agents.without_heartbeat()) == [agent]
    client.execute_command("SETEX", keys.heartbeat(agent.id), 30, "alive")
    assert list(any_octet.agents.without_heartbeat()) == []
    assert any_octet.agents.expire_silent(agent) is None
    client.delete(keys.heartbeat(agent.id))
    client.lpush(keys.heartbeat(agent.id), "not even a string")
    assert list(any_octet.agents.heartbeat([agent])) == [True]
    assert client.type(keys.heartbeat(agent.id)) == "string"


OURS = '{"id": "developer-1", "incarnation": "1", '
ENTRIES = [
    *(
        "",
        "x",
        "null",
        "[]",
        "5",
        "{}",
        "[" * 2000,
        b"\xff",
        '{"status":"active","capabilities":["backend","go"]}',
    ),
    *(
        '{"id": 1, "role": 2, "incarnation": 3}',
        '{"id": "other", "role": "developer", "incarnation": "1"}',
    ),
    *(
        OURS + '"role": null}',
        OURS + '"role": {"a": 1}, "process": 5}',
        OURS + '"role": "developer", "capabilities": 5}',
    ),
    *(
        OURS + '"role": "a\\"b", "joined_ms": "x"}',
        OURS + '"role": "developer", "joined_ms": 1e999, "pid": "7"}',
    ),
]


@pytest.mark.parametrize("entry", ENTRIES)
def test_registry_entries_that_are_none(octet: Octet, entry: str | bytes) -> None:
    """An entry that is no agent is not listed; the agent whose entry was spoiled goes on, registers
    again, and can be expired.
    """
    keys, client = octet.store.keys, octet.store.client
    client.hset(keys.registry, "agent:001", entry)
    agent = join(octet)
    octet.tasks.add("work")
    octet.tasks.claim(agent)
    octet.locks.acquire(agent, ["path:a"])
    client.hset(keys.registry, agent.id, entry)
    octet.agents.list()
    octet.agents.find(agent.process)
    assert list(octet.agents.heartbeat([agent])) == [True]
    again = join(octet, process=agent.process)
    assert (again.id, again.incarnation) == (agent.id, agent.incarnation)
    assert octet.agents.find(agent.process) == again
    client.hset(keys.registry, agent.id, entry)
    released = octet.agents.expire(agent)
    assert released is not None
    assert (released.tasks, released.resources) == (("1",), ("path:a",))
    assert client.hgetall(keys.processes) == {}
    assert "agent:001" not in [found.id for found in octet.agents.list()]


def test_a_named_agent_whose_entry_is_spoiled(octet: Octet) -> None:
    """A name without a process stays its owner's when its entry is spoiled by hand."""
    agent = join(octet, GUEST, name="ci", process="")
    octet.store.client.hset(octet.store.keys.registry, "ci", "spoiled")
    assert join(octet, GUEST, name="ci", process="").incarnation == agent.incarnation


def test_events_by_hand(octet: Octet) -> None:
    """Log entries and published texts that are no events of ours are shown as they are."""
    client, keys = octet.store.client, octet.store.keys
    texts = [
        "task:123:completed",
        "[1]",
        "null",
        "[" * 100_000,
        '{"id": "\\u001b[2J", "type": 5}',
        b"\xff",
    ]
    for text in texts:
        client.xadd(keys.log, {"data": text})
    client.xadd(keys.log, {"other": "field"})
    events = octet.events.log(10)
    assert [event.fields.get("raw") for event in events[:4]] == texts[:4]
    assert all(isinstance(event.id, str) and isinstance(event.type, str) for event in events)


def test_published_by_hand(octet: Octet) -> None:
    """`PUBLISH events:task_completed text` reaches a watcher, under its channel's type."""

    def publish_when_watched() -> None:
        wait_for(lambda: octet.store.client.pubsub_numpat() > 0, "the watcher has subscribed")
        octet.store.client.publish(octet.store.keys.channel("task_completed"), "task:123:completed")

    publisher = threading.Thread(target=publish_when_watched)
    publisher.start()
    event = next(octet.events.watch("task_*", timeout_s=10))
    publisher.join()
    assert (event.type, event.fields) == ("task_completed", {"raw": "task:123:completed"})


def test_inbox_entries_by_hand(octet: Octet) -> None:
    """An entry XADDed without our fields is a message all the same."""
    agent = join(octet)
    octet.store.client.xadd(octet.store.keys.inbox(agent.id), {"hello": json.dumps({"a": 1})})
    octet.store.client.xadd(octet.store.keys.inbox(agent.id), {"text": "hi", "sent_ms": "²"})
    assert [message.text for message in octet.messages.read(agent)] == ["", "hi"]
