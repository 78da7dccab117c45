"""What is left when everybody is gone: read from the store, as operations of the same history."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from tests.chaos.history import Operation
from tests.chaos.torture.acts import Acts
from tests.chaos.torture.worker import MOST_TAKEN, ROLES

from octet.client.api import Octet
from octet.core.agents.registry import Registration

BURIED_WITHIN_S = 60.0
STEP = 500
MOST_COMPARED = 3000


def audit(acts: Acts, operations: Sequence[Operation], bury: Callable[[], None]) -> None:
    """Read everything that the operations were about. `bury` does what a daemon would, where there
    is none.
    """
    octet = acts.octet
    _await_burials(octet, bury)
    with acts.recorder.operation("registered") as answer:
        answer["agents"] = [agent.id for agent in octet.agents.list()]
    with acts.recorder.operation("locked") as answer:
        answer["resources"] = [lock.resource for lock in octet.locks.list()]
    read_tasks(acts, operations)
    _read_values(acts, operations)
    _drain_queues(acts, sorted({op.arguments["queue"] for op in operations if op.name == "push"}))
    _take_messages(acts)
    _compare_keys(acts)


def _await_burials(octet: Octet, bury: Callable[[], None]) -> None:
    deadline = time.monotonic() + BURIED_WITHIN_S
    while octet.agents.list() and time.monotonic() < deadline:
        bury()
        time.sleep(0.05)


def _compare_keys(acts: Acts) -> None:
    """Where there are few enough tasks to compare every key with every other: what in the store
    contradicts itself.
    """
    if sum(acts.octet.tasks.counts().values()) > MOST_COMPARED:
        return
    from tests.support.store_fixtures import contradictions

    with acts.recorder.operation("compared") as answer:
        answer["found"] = contradictions(acts.octet)


def read_tasks(acts: Acts, operations: Sequence[Operation]) -> None:
    """Every task that was added, or may have been, by its title."""
    found = _tasks_by_title(acts.octet)
    for op in operations:
        if op.name != "add":
            continue
        title = op.arguments["task"]
        rows = found.get(title, [])
        if op.answered is None and not rows:
            continue
        number = acts.recorder.invoke("get", {"task": title, "last": True})
        acts.recorder.answer(number, _seen(rows))


def _seen(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if not rows:
        return {"outcome": "missing"}
    return (
        {"outcome": "ok", **rows[0]}
        if len(rows) == 1
        else {"outcome": "ok", "state": f"{len(rows)} tasks", "holder": "", "token": "0"}
    )


def _tasks_by_title(octet: Octet) -> dict[str, list[dict[str, Any]]]:
    client, keys = octet.store.client, octet.store.keys
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    names = list(set(client.scan_iter(keys.task("") + "*", count=5000)))
    for start in range(0, len(names), STEP):
        pipe = client.pipeline(transaction=False)
        for name in names[start : start + STEP]:
            pipe.hmget(name, "title", "state", "holder", "token")
        for title, state, holder, token in pipe.execute():
            found[title or ""].append(
                {"state": state or "", "holder": holder or "", "token": token or "0"}
            )
    return found


def _read_values(acts: Acts, operations: Sequence[Operation]) -> None:
    for field in sorted({op.arguments["field"] for op in operations if "field" in op.arguments}):
        acts.read(*field.split(" "))
    for counter in sorted(
        {op.arguments["counter"] for op in operations if "counter" in op.arguments}
    ):
        acts.count(counter, 0)


def _drain_queues(acts: Acts, queues: Sequence[str]) -> None:
    """Take out what is left, leased items after their lease, and record that nothing remains."""
    for queue in queues:
        deadline, seen = time.monotonic() + 30, set[str]()
        while acts.octet.queue(queue).stats().left and time.monotonic() < deadline:
            given = acts.reserve(queue, 30.0)
            if given.get("outcome") != "ok":
                time.sleep(0.02)
                continue
            acts.settle("ack", queue, given)
            if given["value"] in seen:  # it comes for ever: the checker has what it needs
                break
            seen.add(given["value"])
        with acts.recorder.operation("drained", queue=queue):
            pass


def _take_messages(acts: Acts) -> None:
    """What waits for anybody of a role; what waits for one that is dead stays."""
    for role in ROLES:
        agent = acts.register(Registration(role=role, name=f"audit-{role}"))
        if not agent:
            continue
        before: list[str] = []
        while (found := acts.take(agent, MOST_TAKEN).get("messages")) and found != before:
            before = found
        acts.take(agent, MOST_TAKEN, last=True)
        acts.leave(agent)
