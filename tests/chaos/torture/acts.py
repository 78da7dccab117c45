"""One recorded operation each: what Octet was asked, and what it came to, in the words of
`tests.chaos.checker`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.chaos.history import Recorder

from octet.base.errors import (
    AgentGone,
    Deadlock,
    IllegalTransition,
    LockAwaited,
    LockHeld,
    NotFound,
    NothingThere,
    NothingToClaim,
    OctetError,
    Refused,
    StaleToken,
    StoreUnreachable,
    VersionConflict,
)
from octet.client.api import Octet
from octet.core.agents.registry import Agent, Registration
from octet.patterns.queue import Item

Answer = dict[str, Any]
# The first that fits counts: subclasses stand before what they are a kind of.
OUTCOMES: tuple[tuple[type[OctetError], str], ...] = (
    (NothingToClaim, "empty"),
    (NothingThere, "empty"),
    (LockAwaited, "awaited"),
    (LockHeld, "held"),
    (Deadlock, "deadlock"),
    (StaleToken, "stale"),
    (VersionConflict, "conflict"),
    (AgentGone, "gone"),
    (IllegalTransition, "state"),
    (NotFound, "missing"),
    (Refused, "refused"),
)
ABSENT = {"value": "", "version": "0"}


class Acts:
    """Operations of one process. Each returns its answer, {} where its outcome is unknown."""

    def __init__(self, octet: Octet, recorder: Recorder) -> None:
        self.octet, self.recorder, self._clock_ns = octet, recorder, clock_ahead_ns()
        self.done = 0

    def _do(
        self, name: str, arguments: dict[str, Any], action: Callable[[], Answer | None]
    ) -> Answer:
        number = self.recorder.invoke(name, arguments)
        self.done += 1
        try:
            answer = {"outcome": "ok", **(action() or {})}
        except StoreUnreachable:
            return {}
        except OctetError as error:
            answer = {"outcome": _outcome(error), **_facts(error)}
        except Exception as error:  # noqa: BLE001 - for the checker to report
            answer = {"outcome": f"error {type(error).__name__}: {error}"}
        self.recorder.answer(number, answer)
        return answer

    # agents

    def register(self, wanted: Registration, lease_ms: int = 0) -> Agent | None:
        """`lease_ms`: 0 for one whose process is watched."""
        found: list[Agent] = []

        def register() -> Answer:
            agent = self.octet.agents.register(wanted).agent
            found.append(agent)
            return {"agent": agent.id, "incarnation": agent.incarnation}

        self._do("register", {"process": wanted.process, "lease_ms": lease_ms}, register)
        return found[0] if found else None

    def beat(self, agent: Agent, lease_ms: int) -> Answer:
        def beat() -> Answer:
            return {} if self.octet.agents.heartbeat([agent], lease_ms)[0] else {"outcome": "gone"}

        return self._do("beat", {"agent": agent.id}, beat)

    def leave(self, agent: Agent) -> Answer:
        return self._do(
            "leave",
            {"agent": agent.id},
            lambda: {"left": self.octet.agents.leave(agent) is not None},
        )

    # tasks

    def add(self, title: str, task_id: str | None, priority: float) -> Answer:
        def add() -> Answer:
            return {
                "id": self.octet.tasks.add(
                    title, task_id=task_id, priority=priority, max_attempts=1000
                ).id
            }

        return self._do("add", {"task": title}, add)

    def claim(self, agent: Agent, stage: str) -> Answer:
        def claim() -> Answer:
            task = self.octet.tasks.claim(agent, stage)
            return {"task": task.title, "id": task.id, "token": task.token}

        return self._do("claim", {"agent": agent.id, "stage": stage}, claim)

    def write(
        self,
        name: str,
        agent: Agent,
        claim: Answer,
        write: Callable[[str, str], object],
        **arguments: Any,
    ) -> Answer:
        """A write under a claim (`claim`'s answer), stale or not; returns a state or a stage."""
        words = {"agent": agent.id, "task": claim["task"], "token": claim["token"], **arguments}

        def act() -> Answer:
            said = write(claim["id"], claim["token"])
            return {"state": str(said)} if said is not None else {}

        return self._do(name, words, act)

    def get(self, title: str, task_id: str, *, last: bool = False) -> Answer:
        def get() -> Answer:
            task = self.octet.tasks.get(task_id)
            return {"state": str(task.state), "holder": task.holder, "token": task.token}

        return self._do("get", {"task": title, "last": True} if last else {"task": title}, get)

    # locks

    def acquire(
        self, agent: Agent, resources: Sequence[str], ttl_ms: int, wait_s: float = 0.0
    ) -> Answer:
        def acquire() -> Answer:
            tokens = self.octet.locks.acquire_when_free(agent, resources, wait_s, ttl_ms=ttl_ms)
            return {"tokens": [tokens[resource] for resource in resources]}

        return self._do(
            "acquire", {"agent": agent.id, "resources": list(resources), "ttl_ms": ttl_ms}, acquire
        )

    def unlock(self, agent: Agent, resource: str, token: str) -> Answer:
        words = {"agent": agent.id, "resource": resource, "token": token}
        return self._do("unlock", words, lambda: self.octet.locks.release(resource, token))

    # queues

    def push(self, queue: str, values: Sequence[str]) -> Answer:
        return self._do(
            "push",
            {"queue": queue, "values": list(values)},
            lambda: {"ready": self.octet.queue(queue).push(*values)},
        )

    def reserve(self, queue: str, lease_s: float) -> Answer:
        def reserve() -> Answer:
            item = self.octet.queue(queue).reserve(lease_s=lease_s, max_deliveries=100_000)
            return {
                "value": item.value,
                "token": item.token,
                "deliveries": item.deliveries,
                "until": self._moment(item.until_ms),
            }

        return self._do("reserve", {"queue": queue, "lease_s": lease_s}, reserve)

    def settle(self, name: str, queue: str, given: Answer, lease_s: float = 1.0) -> Answer:
        """`ack`, `nack` or `extend` of what `reserve` answered."""
        item = Item(queue, given["token"], given["value"])

        def settle() -> Answer:
            if name == "extend":
                return {"until": self._moment(self.octet.queue(queue).extend(item, lease_s))}
            return {
                "said": self.octet.queue(queue).ack(item)
                if name == "ack"
                else self.octet.queue(queue).nack(item)
            }

        return self._do(
            name, {"queue": queue, "value": given["value"], "token": given["token"]}, settle
        )

    def _moment(self, server_ms: int) -> int:
        """A moment of the server's clock on the machine's monotonic one, ns."""
        return server_ms * 1_000_000 - self._clock_ns

    # values

    def read(self, state: str, field: str) -> Answer:
        def read() -> Answer:
            try:
                found = self.octet.state(state).read(field)
            except NothingThere:
                return ABSENT
            return {"value": found.value, "version": found.version}

        return self._do("read", {"field": f"{state} {field}"}, read)

    def set(self, state: str, field: str, value: str) -> Answer:
        words = {"field": f"{state} {field}", "value": value}
        return self._do(
            "set", words, lambda: {"version": self.octet.state(state).set(field, value)}
        )

    def compare_and_set(self, state: str, field: str, value: str, version: str) -> Answer:
        words = {"field": f"{state} {field}", "value": value, "version": version}
        change = self.octet.state(state).compare_and_set
        return self._do(
            "compare_and_set", words, lambda: {"version": change(field, value, version)}
        )

    def delete(self, state: str, field: str) -> Answer:
        words = {"field": f"{state} {field}"}
        return self._do(
            "delete", words, lambda: {"deleted": bool(self.octet.state(state).delete(field))}
        )

    def count(self, counter: str, by: int) -> Answer:
        """Add to a counter; `by` 0 reads it."""
        found = self.octet.counter(counter)
        words = {"counter": counter, "by": by} if by else {"counter": counter}
        return self._do("count", words, lambda: {"value": found.incr(by) if by else found.get()})

    # messages

    def send(self, to: str, text: str, sender: str) -> Answer:
        return self._do(
            "send",
            {"to": to, "text": text},
            lambda: {"id": self.octet.messages.send(to, text, sender=sender).refs[0]},
        )

    def take(self, agent: Agent, most: int, *, last: bool = False) -> Answer:
        words = {"agent": agent.id, "inboxes": [agent.id, agent.role], "most": most, "last": last}

        def take() -> Answer:
            return {
                "messages": [
                    [*found.ref.rsplit("/", 1), found.text]
                    for found in self.octet.messages.read(agent, most)
                ]
            }

        return self._do("take", words, take)


def clock_ahead_ns() -> int:
    """What the clock of day, which is the server's on this machine, is ahead of the monotonic one
    (ns), read within a few microseconds.
    """
    readings = []
    for _ in range(20):
        before = time.monotonic_ns()
        day = time.time_ns()
        after = time.monotonic_ns()
        readings.append((after - before, day - (before + after) // 2))
    return min(readings)[1]


def _outcome(error: OctetError) -> str:
    return next(
        (outcome for kind, outcome in OUTCOMES if isinstance(error, kind)),
        f"error {type(error).__name__}: {error}",
    )


def _facts(error: OctetError) -> Answer:
    if isinstance(error, LockHeld):
        return {"holder": error.holder, "by": error.by}
    return {"version": error.version} if isinstance(error, VersionConflict) else {}
