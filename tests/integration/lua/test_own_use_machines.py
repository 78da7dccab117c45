"""Random lives of queues, states, counters, maps and pipelines, step by step beside models in plain
Python, on the real server.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from tests.support.redis_fixtures import Server

from octet.base.errors import (
    NothingThere,
    Refused,
    StaleToken,
    Stopped,
    UsageError,
    VersionConflict,
)
from octet.client.api import Octet
from octet.patterns.values import decode, encode, is_same
from octet.store.connection import open_client

PICK = st.integers(0, 1_000_000)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
).filter(lambda value: "\\ud" not in repr(value))
RAW = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["analyze:src/app.ts", "{", '{"a": 1}', "NaN", "1e999", " 7 ", "[]"]
)


class Machine(RuleBasedStateMachine):
    octet: ClassVar[Octet]

    @initialize()
    def begin(self) -> None:
        self.octet.store.client.flushall()

    def refuses(
        self, kind: type[Exception], call: Callable[..., Any], *arguments: Any, **named: Any
    ) -> None:
        with pytest.raises(kind):
            call(*arguments, **named)


class QueueMachine(Machine):
    """`due` are the items that may be given out again, in the order in which they came to be; time
    is moved by hand.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ready: list[Any] = []
        self.held: dict[str, tuple[Any, int, int]] = {}
        self.lapsed: list[str] = []
        self.dead: dict[str, Any] = {}
        self.tokens: list[str] = []
        self.done = self.turn = 0
        self.back: dict[str, tuple[Any, int, int]] = {}
        self.due: list[str] = []

    @property
    def queue(self) -> Any:
        return self.octet.queue("q")

    def move_time(self, key: str, token: str) -> None:
        self.turn += 1
        self.octet.store.client.zadd(key, {token: self.turn})
        self.due.append(token)

    @rule(values=st.lists(VALUES, min_size=1, max_size=4))
    def push(self, values: list[Any]) -> None:
        self.queue.push(*values)
        self.ready += values

    @rule(text=RAW)
    def lpush(self, text: str) -> None:
        self.octet.store.client.lpush(self.octet.store.keys.queue("q"), text)
        self.ready.append(decode(text))

    @rule()
    def rpop(self) -> None:
        text = self.octet.store.client.rpop(self.octet.store.keys.queue("q"))
        assert (text is None) == (not self.ready)
        if text is not None:
            assert decode(text) == self.ready.pop(0)

    def expected(self) -> tuple[Any, int] | None:
        """What is given out next, and how often that was before."""
        while self.due:
            token = self.due.pop(0)
            value, deliveries, most = (self.back if token in self.back else self.held).pop(token)
            if token in self.lapsed and deliveries >= most:
                self.dead[token] = value
                continue
            return value, deliveries
        return (self.ready.pop(0), 0) if self.ready else None

    @rule(most=st.integers(1, 3))
    def reserve(self, most: int) -> None:
        wanted = self.expected()
        if wanted is None:
            self.refuses(NothingThere, self.queue.reserve)
            return
        item = self.queue.reserve(max_deliveries=most)
        assert (item.value, item.deliveries) == (wanted[0], wanted[1] + 1)
        assert not self.tokens or int(item.token) > int(self.tokens[-1])
        self.tokens.append(item.token)
        self.held[item.token] = (item.value, item.deliveries, most)

    @rule()
    def pop(self) -> None:
        wanted = self.expected()
        if wanted is None:
            self.refuses(NothingThere, self.queue.pop)
            return
        assert self.queue.pop() == wanted[0]
        self.done += 1

    def end(self, pick: int, call: Callable[[str], Any]) -> tuple[str, Any]:
        """Settle one of all tokens that there ever were; a stale one is refused."""
        token = self.tokens[pick % len(self.tokens)] if self.tokens else "1"
        if token not in self.held:
            self.refuses(StaleToken, call, token)
            return token, None
        return token, call(token)

    def forget(self, token: str) -> tuple[Any, int, int]:
        if token in self.due:
            self.due.remove(token)
        return self.held.pop(token)

    @rule(pick=PICK)
    def ack(self, pick: int) -> None:
        token, left = self.end(pick, self.queue.ack)
        if left is not None:
            self.forget(token)
            self.done += 1
            assert left == len(self.ready) + len(self.held) + len(self.back)

    @rule(pick=PICK, dead=st.booleans())
    def nack(self, pick: int, dead: bool) -> None:
        token, back = self.end(pick, lambda token: self.queue.nack(token, dead=dead, reason="a\nb"))
        if back is None:
            return
        value, deliveries, most = self.forget(token)
        assert back == (not dead and deliveries < most)
        if not back:
            self.dead[token] = value
            return
        self.back[token] = (value, deliveries, most)
        self.move_time(self.octet.store.keys.queue_returned("q"), token)
        self.lapsed = [each for each in self.lapsed if each != token]

    @rule(pick=PICK)
    def extend(self, pick: int) -> None:
        token, until = self.end(pick, self.queue.extend)
        if until is not None and token in self.due:
            self.due.remove(token)
            self.lapsed.remove(token)

    @rule(pick=PICK)
    def lapse(self, pick: int) -> None:
        live = [token for token in self.held if token not in self.due]
        if live:
            token = live[pick % len(live)]
            self.lapsed.append(token)
            self.move_time(self.octet.store.keys.queue_leased("q"), token)

    @rule()
    def revive(self) -> None:
        found = [kept.value for kept in self.queue.dead()]
        assert self.queue.revive() == len(self.dead)
        self.ready += found
        self.dead = {}

    @invariant()
    def same(self) -> None:
        stats = self.queue.stats()
        assert (stats.ready, stats.leased, stats.returned) == (
            len(self.ready),
            len(self.held),
            len(self.back),
        )
        assert (stats.dead, stats.done) == (len(self.dead), self.done)
        assert self.queue.peek(1000) == self.ready
        assert {kept.token: (kept.value, kept.deliveries) for kept in self.queue.leased()} == {
            t: h[:2] for t, h in self.held.items()
        }
        assert {kept.token: kept.value for kept in self.queue.dead()} == self.dead
        client, keys = self.octet.store.client, self.octet.store.keys
        assert client.hlen(keys.queue_items("q")) == len(self.held) + len(self.back) + len(
            self.dead
        )


FIELDS = st.sampled_from(["status", "src/a b.ts", "n"])


class StateMachine(Machine):
    """The version of what redis-cli wrote is "" until it is read; `known` is a field's last text
    that was given a version, with that.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {}
        self.versions: dict[str, str] = {}
        self.known: dict[str, tuple[str, str]] = {}
        self.old: list[str] = ["0"]

    @property
    def state(self) -> Any:
        return self.octet.state("s")

    def wrote(self, field: str, value: Any, version: str) -> None:
        assert all(int(version) > int(old) for old in self.old)
        self.old.append(version)
        self.fields[field], self.versions[field] = value, version
        self.known[field] = (
            self.octet.store.client.hget(self.octet.store.keys.shared_state("s"), field),
            version,
        )

    @rule(fields=st.dictionaries(FIELDS, VALUES, min_size=1))
    def set(self, fields: dict[str, Any]) -> None:
        versions = self.state.set_many(fields)
        for field in fields:
            self.wrote(field, fields[field], versions[field])

    @rule(field=FIELDS, text=RAW)
    def hset(self, field: str, text: str) -> None:
        key = self.octet.store.keys.shared_state("s")
        if self.octet.store.client.hget(key, field) != text:
            self.octet.store.client.hset(key, field, text)
            known, version = self.known.get(field, (None, ""))
            self.fields[field], self.versions[field] = (
                decode(text),
                version if known == text else "",
            )

    @rule(field=FIELDS, value=VALUES, pick=PICK, current=st.booleans())
    def compare_and_set(self, field: str, value: Any, pick: int, current: bool) -> None:
        version = self.versions.get(field, "0") if current else self.old[pick % len(self.old)]
        if version != "" and version == self.versions.get(field, "0"):
            self.wrote(field, value, self.state.compare_and_set(field, value, version))
            return
        with pytest.raises(VersionConflict) as caught:
            self.state.compare_and_set(field, value, version or "99999999")
        if self.versions.get(field) == "":
            self.wrote(field, self.fields[field], caught.value.version)
        assert caught.value.version == self.versions.get(field, "0")

    @rule(field=FIELDS, by=st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3))
    def incr(self, field: str, by: int) -> None:
        value = self.fields.get(field, 0)
        countable = (
            type(value) is int and -(2**63) <= value + by < 2**63 and -(2**63) <= value < 2**63
        )
        if countable and self.octet.store.client.hget(
            self.octet.store.keys.shared_state("s"), field
        ) in (None, str(value)):
            assert self.state.incr(field, by) == value + by
            self.wrote(field, value + by, self.state.read(field).version)
        else:
            self.refuses(UsageError, self.state.incr, field, by)

    @rule(field=FIELDS, pick=PICK)
    def delete(self, field: str, pick: int) -> None:
        version = self.old[pick % len(self.old)]
        if field in self.fields and self.versions[field] == version:
            assert self.state.delete(field, version=version) == 1
            del self.fields[field], self.versions[field], self.known[field]
        elif self.versions.get(field) != "" and (field in self.fields or version != "0"):
            self.refuses(VersionConflict, self.state.delete, field, version=version)

    @rule()
    def clear(self) -> None:
        assert self.state.clear() == len(self.fields)
        self.fields, self.versions, self.known = {}, {}, {}

    @rule()
    def read(self) -> None:
        for field in sorted(self.state.read_all(), key=lambda field: int(field.version)):
            if self.versions[field.field] == "":  # the versions that are given now are the greatest
                self.wrote(field.field, field.value, field.version)
            assert field.version == self.versions[field.field]
        assert self.state.all() == self.fields


class CounterMachine(Machine):
    def __init__(self) -> None:
        super().__init__()
        self.value = 0

    @property
    def counter(self) -> Any:
        return self.octet.counter("c")

    @rule(by=st.integers(-5, 5) | st.integers(-(2**63), 2**63 - 1))
    def incr(self, by: int) -> None:
        if -(2**63) <= self.value + by < 2**63:
            self.value += by
            assert self.counter.incr(by) == self.value
        else:
            self.refuses(UsageError, self.counter.incr, by)

    @rule(value=st.integers(-(2**63), 2**63 - 1))
    def set(self, value: int) -> None:
        self.counter.set(value)
        self.value = value

    @rule()
    def raw_incr(self) -> None:
        if self.value < 2**63 - 1:
            self.value += 1
            assert self.octet.store.client.incr(self.octet.store.keys.counter("c")) == self.value

    @rule()
    def delete(self) -> None:
        self.counter.delete()
        self.value = 0

    @rule(below=st.integers(0, 3))
    def wait(self, below: int) -> None:
        assert self.counter.wait(self.value - below, wait_s=0) == self.value
        self.refuses(NothingThere, self.counter.wait, self.value + 1 + below, wait_s=0)

    @invariant()
    def same(self) -> None:
        assert self.counter.get() == self.value


class MapMachine(Machine):
    """Each item is known once, and is ready, held, done or failed."""

    def __init__(self) -> None:
        super().__init__()
        self.ready: list[Any] = []
        self.held: dict[str, Any] = {}
        self.failed: dict[str, str] = {}
        self.done: dict[str, Any] = {}
        self.order: list[str] = []
        self.back: list[Any] = []
        self.tokens: list[str] = []

    @property
    def map(self) -> Any:
        return self.octet.map("m")

    @rule(items=st.lists(st.sampled_from("abcdefgh") | VALUES, min_size=1, max_size=4))
    def start(self, items: list[Any]) -> None:
        new = [item for item in dict.fromkeys(map(encode, items)) if item not in self.order]
        assert self.map.start(items) == len(new)
        self.order += new
        self.ready += new

    @rule()
    def take(self) -> None:
        source = self.back or self.ready
        if not source:
            self.refuses(NothingThere, self.map.take)
            return
        item = self.map.take(max_deliveries=100)
        assert encode(item.value) == source.pop(0)
        self.held[item.token] = encode(item.value)
        self.tokens.append(item.token)

    @rule(pick=PICK, result=VALUES, end=st.sampled_from(["done", "fail", "back"]))
    def settle(self, pick: int, result: Any, end: str) -> None:
        token = self.tokens[pick % len(self.tokens)] if self.tokens else "1"
        calls: dict[str, Callable[[], object]] = {
            "done": lambda: self.map.done(token, result),
            "fail": lambda: self.map.fail(token, "no"),
            "back": lambda: self.map.release(token),
        }
        call = calls[end]
        if token not in self.held:
            self.refuses(StaleToken, call)
            return
        call()
        item = self.held.pop(token)
        if end == "back":
            self.octet.store.client.zadd(
                self.octet.store.keys.queue_returned("map:m"),
                {token: len(self.tokens) + len(self.back)},
            )
            self.back.append(item)
        elif end == "done":
            self.done[item] = result
        else:
            self.failed[item] = "no"

    @rule()
    def retry(self) -> None:
        assert self.map.retry() == len(self.failed)
        again = [
            encode(kept)
            for kept in self.octet.queue("map:m").peek(len(self.failed) + len(self.ready))
        ][len(self.ready) :]
        assert sorted(again) == sorted(self.failed)
        self.ready += again
        self.failed.clear()

    @invariant()
    def same(self) -> None:
        found = {encode(result.item): result for result in self.map.results()}
        assert list(found) == [
            item for item in self.order if item in self.done or item in self.failed
        ]
        assert all(is_same(found[item].value, value) for item, value in self.done.items())
        assert {item for item, result in found.items() if result.error} == set(self.failed)
        if self.order:
            tally = self.map.tally()
            counts = (tally.total, tally.done, tally.failed, tally.ready, tally.leased)
            wanted = (
                len(self.order),
                len(self.done),
                len(self.failed),
                len(self.ready) + len(self.back),
                len(self.held),
            )
            assert counts == wanted


class PipelineMachine(Machine):
    """Four steps; any worker begins, ends or comes late with a token."""

    STEPS = ("a", "b", "c", "d")

    def __init__(self) -> None:
        super().__init__()
        self.states = ["waiting"] * 4
        self.results: list[Any] = [None] * 4
        self.token = ""
        self.tokens = ["0"]

    @property
    def pipeline(self) -> Any:
        return self.octet.pipeline("p")

    @initialize()
    def begin(self) -> None:
        super().begin()
        assert self.pipeline.start(*self.STEPS)

    @rule()
    def start_again(self) -> None:
        assert not self.pipeline.start(*self.STEPS)
        self.refuses(Refused, self.pipeline.start, "a", "b")

    @rule(step=st.sampled_from(["", *STEPS]), again=st.booleans())
    def take(self, step: str, again: bool) -> None:
        first = next((i for i, state in enumerate(self.states) if state != "done"), 4)
        wanted = self.STEPS.index(step) if step else first
        state = self.states[first] if first < 4 else "done"
        if wanted < first or first == 4:
            self.refuses(NothingThere, self.pipeline.begin, step, again=again)
        elif state == "failed" and not (again and wanted == first):
            self.refuses(Stopped, self.pipeline.begin, step, again=again)
        elif wanted > first or state == "running":
            self.refuses(NothingThere, self.pipeline.begin, step, again=again)
        else:
            turn = self.pipeline.begin(step, again=again)
            assert (turn.step, is_same(turn.given, self.results[first - 1] if first else None)) == (
                self.STEPS[first],
                True,
            )
            self.token = turn.token
            self.tokens.append(turn.token)
            self.states[first] = "running"

    @rule(pick=PICK, result=VALUES, end=st.sampled_from(["done", "fail", "renew"]))
    def settle(self, pick: int, result: Any, end: str) -> None:
        token = self.tokens[pick % len(self.tokens)]
        ways = {
            "done": (self.pipeline.done, result),
            "fail": (self.pipeline.fail, "no"),
            "renew": (self.pipeline.renew, 60),
        }
        call = partial(ways[end][0], token, ways[end][1])
        if token != self.token or "running" not in self.states:
            self.refuses(StaleToken, call)
            return
        call()
        at = self.states.index("running")
        if end != "renew":
            self.states[at] = "done" if end == "done" else "failed"
        if end == "done":
            self.results[at] = result

    @rule()
    def lapse(self) -> None:
        """The worker's lease runs out: the step counts as waiting, and its token still counts."""
        if "running" in self.states:
            at = self.states.index("running")
            self.octet.store.client.hset(self.octet.store.keys.pipeline("p"), f"{at + 1}:until", 1)
            turn = self.pipeline.begin()
            assert turn.step == self.STEPS[at]
            self.token = turn.token
            self.tokens.append(turn.token)

    @invariant()
    def same(self) -> None:
        if self.octet.store.client.exists(self.octet.store.keys.pipeline("p")):
            steps = self.pipeline.steps()
            assert [step.state for step in steps] == self.states
            assert all(
                is_same(step.result, result)
                for step, result in zip(steps, self.results, strict=True)
            )


MACHINES = [QueueMachine, StateMachine, CounterMachine, MapMachine, PipelineMachine]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_random_lives(machine: type[Machine], redis_servers: Callable[[str], Server]) -> None:
    """After every step the store holds what the model holds, and each answer is the model's."""
    with Octet(open_client(redis_servers("redis").url), "p") as octet:
        machine.octet = octet
        wanted = settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(machine, settings=wanted)
