"""Tasks, agents and locks against a model in plain Python: any sequence of steps, on a real server,
has the same outcome in both.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.support.redis_fixtures import Server
from tests.support.store_fixtures import contradictions

from octet.base.errors import (
    AgentGone,
    IllegalTransition,
    LockHeld,
    NotFound,
    NothingToClaim,
    OctetError,
    Refused,
    StaleToken,
)
from octet.client.api import Octet
from octet.core.agents.registry import Agent, Registration
from octet.core.tasks.record import Task
from octet.store.connection import open_client

Claim = tuple[str, str]
ROLES = ("developer", "repository-guardian")
SCOPES = ("turn", "task", "own")
PRIORITIES = st.sampled_from([0, 0, 0, -1000, -0.001, 0.001, 5, 1000])
RESOURCES = ("path:a", "path:b", "name:n", "repository:main")


@dataclass
class ModelTask:
    id: str
    priority: float
    order: int
    most: int
    state: str = "pending"
    holder: str = ""
    token: str = ""
    attempts: int = 0
    gate_attempts: int = 0
    branch: str = ""
    author: str = ""
    returned_to: str = ""


@dataclass
class ModelLock:
    holder: str
    token: str
    scope: str
    task: str


@dataclass
class Model:
    """The rules of the design, in the plainest form: no queue, no index, one look at everything."""

    tasks: dict[str, ModelTask] = field(default_factory=dict)
    agents: dict[str, Agent] = field(default_factory=dict)
    locks: dict[str, ModelLock] = field(default_factory=dict)
    greatest: int = 0

    def alive(self, agent: Agent) -> bool:
        return agent.id in self.agents and self.agents[agent.id].incarnation == agent.incarnation

    def held_by(self, agent: Agent) -> ModelTask | None:
        return next((task for task in self.tasks.values() if task.holder == agent.id), None)

    def first(self, state: str) -> ModelTask | None:
        waiting = [task for task in self.tasks.values() if task.state == state]
        return min(waiting, key=lambda task: (-task.priority, task.order), default=None)

    def sent_back_to(self, agent: Agent, state: str) -> list[ModelTask]:
        return [
            task
            for task in self.tasks.values()
            if task.state == state == "pending" and task.returned_to == agent.id
        ]

    def give_back(self, task: ModelTask, counts: bool) -> None:
        if task.state == "merging":
            task.gate_attempts += counts
            task.state = "dead" if counts and task.gate_attempts >= task.most else "submitted"
        else:
            task.attempts -= not counts
            task.state = "dead" if counts and task.attempts >= task.most else "pending"
        self.end_claim(task)

    def end_claim(self, task: ModelTask) -> None:
        agent, task.holder = task.holder, ""
        kept = {
            name: lock
            for name, lock in self.locks.items()
            if (lock.holder, lock.scope, lock.task) != (agent, "task", task.id)
        }
        self.locks = kept

    def end_agent(self, agent: Agent, counts: bool) -> None:
        if task := self.held_by(agent):
            self.give_back(task, counts)
        self.locks = {name: lock for name, lock in self.locks.items() if lock.holder != agent.id}
        del self.agents[agent.id]

    def new_token(self, token: str) -> str:
        assert int(token) > self.greatest, "a fencing token that does not grow"
        self.greatest = int(token)
        return token


# Mostly one of those that matter now; sometimes any that ever was.
PICK = st.integers(0, 9)


class Machine(RuleBasedStateMachine):
    """Each rule makes one step in both worlds; what the model forbids must be refused for the
    reason that the model gives.
    """

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.octet = Octet(open_client(self.url), "p")
        self.octet.store.client.flushall()
        self.model = Model()
        self.ever: list[Agent] = []
        self.claims: list[Claim] = []

    def teardown(self) -> None:
        found = contradictions(self.octet)
        self.octet.close()
        assert found == []

    def refused(self, kind: type[OctetError], step: Callable[[], Any]) -> None:
        with pytest.raises(kind) as refusal:
            step()
        assert refusal.type is kind

    def agent(self, pick: int) -> Agent:
        living = list(self.model.agents.values())
        return (
            living[pick % len(living)] if living and pick < 8 else self.ever[pick % len(self.ever)]
        )

    def a_claim(self, pick: int) -> Claim:
        current = [(task.id, task.token) for task in self.model.tasks.values() if task.holder]
        return (
            current[pick % len(current)]
            if current and pick < 8
            else self.claims[pick % len(self.claims)]
        )

    def current(self, claim: Claim) -> ModelTask | None:
        task = self.model.tasks[claim[0]]
        return task if task.holder and task.token == claim[1] else None

    @initialize(priorities=st.lists(PRIORITIES, min_size=2, max_size=4))
    def begin(self, priorities: list[float]) -> None:
        for role in ("developer", "developer", "repository-guardian"):
            self.register(role, "", False, 0)
        for priority in priorities:
            self.add(priority, 2)

    # Agents

    @rule(
        role=st.sampled_from(ROLES),
        session=st.sampled_from(["", "s1", "s2"]),
        child=st.booleans(),
        pick=PICK,
    )
    def register(self, role: str, session: str, child: bool, pick: int) -> None:
        parent = self.agent(pick).id if child else ""
        before = self.octet.agents.name_of_session(session) if session else ""
        wanted = Registration(
            role=role, process=f"h:{len(self.ever)}:1", session=session, parent=parent
        )
        joined = self.octet.agents.register(wanted)
        back = (
            bool(before) and before.rpartition("-")[0] == role and before not in self.model.agents
        )
        assert joined.how == ("back" if back else "new")
        assert joined.agent.id not in self.model.agents
        assert not back or joined.agent.id == before
        self.arrived(joined.agent)

    def arrived(self, agent: Agent) -> None:
        self.model.new_token(agent.incarnation)
        self.model.agents[agent.id] = agent
        self.ever.append(agent)

    @rule(pick=PICK)
    def register_again(self, pick: int) -> None:
        agent = self.agent(pick)
        if self.model.alive(agent):
            joined = self.octet.agents.register(
                Registration(role="guest", process=agent.process, parent=agent.parent)
            )
            assert (joined.how, joined.agent.id, joined.agent.role) == (
                "known",
                agent.id,
                agent.role,
            )
            assert joined.agent.incarnation == agent.incarnation

    @rule(pick=PICK, how=st.sampled_from(["leave", "expire", "expire silently"]))
    def end(self, pick: int, how: str) -> None:
        agent = self.agent(pick)
        if how == "expire silently":
            assert self.octet.agents.expire_silent(agent) is None
            return
        released = (self.octet.agents.leave if how == "leave" else self.octet.agents.expire)(agent)
        assert (released is not None) == self.model.alive(agent)
        if released:
            task = self.model.held_by(agent)
            assert released.tasks == ((task.id,) if task else ())
            assert set(released.resources) == {
                name for name, lock in self.model.locks.items() if lock.holder == agent.id
            }
            self.model.end_agent(agent, counts=how == "expire")

    @rule(pick=PICK, role=st.sampled_from(["architect", *ROLES]))
    def join(self, pick: int, role: str) -> None:
        agent = self.agent(pick)
        if agent.role == role:
            assert self.octet.agents.join(agent, role) == agent
        elif not self.model.alive(agent):
            self.refused(AgentGone, lambda: self.octet.agents.join(agent, role))
        else:
            joined = self.octet.agents.join(agent, role)
            self.model.end_agent(agent, counts=False)
            assert joined.role == role
            assert joined.id not in self.model.agents
            self.arrived(joined)

    @rule(pick=PICK)
    def beat(self, pick: int) -> None:
        assert list(self.octet.agents.heartbeat([self.agent(pick)])) == [
            self.model.alive(self.agent(pick))
        ]

    # Tasks

    @rule(priority=PRIORITIES, most=st.integers(1, 3))
    def add(self, priority: float, most: int) -> None:
        task = self.octet.tasks.add("x", priority=priority, max_attempts=most)
        self.model.tasks[task.id] = ModelTask(task.id, priority, int(task.id), most)

    @rule()
    def push(self) -> None:
        """A task by plain LPUSH, taken up at once by asking for one that is not there."""
        agent = next(
            (agent for agent in self.model.agents.values() if not self.model.held_by(agent)), None
        )
        if agent:
            self.octet.store.client.lpush(self.octet.store.keys.pending, "raw")
            self.refused(NotFound, lambda: self.octet.tasks.claim(agent, task_id="none"))
            (new,) = [
                found.id
                for found in self.octet.tasks.list("pending", 1000)
                if found.id not in self.model.tasks
            ]
            self.model.tasks[new] = ModelTask(new, 0, int(new), 3)

    @rule(
        pick=PICK,
        stage=st.sampled_from(["build", "build", "merge"]),
        wanted=st.none() | st.none() | st.integers(1, 9),
    )
    def claim(self, pick: int, stage: str, wanted: int | None) -> None:
        waits, works = ("pending", "claimed") if stage == "build" else ("submitted", "merging")
        agent, wanted_id = self.agent(pick), str(wanted) if wanted else None
        held = self.model.held_by(agent)
        expected = self.model.tasks.get(str(wanted)) if wanted else self.model.first(waits)

        def step() -> Task:
            return self.octet.tasks.claim(agent, stage, wanted_id)

        if not self.model.alive(agent):
            self.refused(AgentGone, step)
        elif held and (held.state != works or (wanted_id and held.id != wanted_id)):
            self.refused(Refused, step)
        elif held:
            task = step()
            assert (task.id, task.token) == (held.id, held.token)
        elif expected is None:
            self.refused(NotFound if wanted else NothingToClaim, step)
        elif expected.state != waits:
            self.refused(IllegalTransition, step)
        else:
            task = step()
            own = [] if wanted else self.model.sent_back_to(agent, waits)
            self.claimed(
                next((mine for mine in own if mine.id == task.id), own[0]) if own else expected,
                task,
                agent,
                works,
            )

    def claimed(self, expected: ModelTask, task: Task, agent: Agent, works: str) -> None:
        expected.state, expected.holder, expected.token = (
            works,
            agent.id,
            self.model.new_token(task.token),
        )
        expected.attempts += works == "claimed"
        expected.returned_to = ""
        assert (task.id, task.state, task.holder, task.attempts) == (
            expected.id,
            works,
            agent.id,
            expected.attempts,
        )
        self.claims.append((task.id, task.token))

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, percent=st.integers(0, 100))
    def progress(self, pick: int, percent: int) -> None:
        claim = self.a_claim(pick)
        if self.current(claim):
            self.octet.tasks.progress(*claim, percent)
        else:
            self.refused(StaleToken, lambda: self.octet.tasks.progress(*claim, percent))

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def submit(self, pick: int) -> None:
        claim = self.a_claim(pick)
        task = self.current(claim)

        def step() -> object:
            return self.octet.tasks.submit(*claim, branch="b")

        if task is None:
            self.refused(StaleToken, step)
        elif task.state != "claimed":
            self.refused(IllegalTransition, step)
        else:
            step()
            task.state, task.branch, task.author, task.gate_attempts = (
                "submitted",
                "b",
                task.holder,
                0,
            )
            self.model.end_claim(task)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def complete(self, pick: int) -> None:
        claim = self.a_claim(pick)
        task = self.current(claim)

        def step() -> None:
            self.octet.tasks.complete(*claim)

        known = self.model.tasks[claim[0]]
        if known.state == "done" and known.token == claim[1]:
            step()
        elif task is None:
            self.refused(StaleToken, step)
        elif task.state == "claimed" and task.branch:
            self.refused(IllegalTransition, step)
        else:
            step()
            task.state = "done"
            self.model.end_claim(task)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, counts=st.booleans())
    def give_back(self, pick: int, counts: bool) -> None:
        claim = self.a_claim(pick)
        task = self.current(claim)

        def step() -> str:
            return (
                self.octet.tasks.fail(*claim, "x") if counts else self.octet.tasks.release(*claim)
            )

        if task is None:
            self.refused(StaleToken, step)
        else:
            answer = step()
            self.model.give_back(task, counts)
            assert answer == task.state

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def send_back(self, pick: int) -> None:
        claim = self.a_claim(pick)
        task = self.current(claim)

        def step() -> None:
            self.octet.tasks.send_back(*claim, "x", offer_ms=0)

        if task is None:
            self.refused(StaleToken, step)
        elif task.state != "merging":
            self.refused(IllegalTransition, step)
        else:
            step()
            task.state, task.returned_to = "pending", task.author
            self.model.end_claim(task)

    # Locks

    @rule(
        pick=PICK,
        names=st.lists(st.sampled_from(RESOURCES), min_size=1, max_size=3),
        scope=st.sampled_from(["turn", "turn", "own"]),
    )
    def acquire(self, pick: int, names: list[str], scope: str) -> None:
        agent = self.agent(pick)
        others = [
            lock
            for name, lock in self.model.locks.items()
            if name in names and lock.holder not in (agent.id, agent.parent)
        ]

        def step() -> Mapping[str, str]:
            return self.octet.locks.acquire(agent, names, scope=scope)

        if not self.model.alive(agent):
            self.refused(AgentGone, step)
        elif others:
            self.refused(LockHeld, step)
        else:
            tokens = step()
            for name in dict.fromkeys(names):
                self.acquired(agent, name, scope, tokens[name])

    def acquired(self, agent: Agent, name: str, scope: str, token: str) -> None:
        held, task = self.model.locks.get(name), self.model.held_by(agent)
        scope = "task" if scope == "turn" and task else scope
        if held and held.holder == agent.id:
            assert token == held.token
            if SCOPES.index(scope) > SCOPES.index(held.scope):
                held.scope, held.task = scope, held.task or (task.id if task else "")
        elif held and not name.startswith("path:"):
            assert token == held.token
        else:
            self.model.locks[name] = ModelLock(
                agent.id, self.model.new_token(token), scope, task.id if task else ""
            )

    @rule(name=st.sampled_from(RESOURCES), stale=st.booleans())
    def release(self, name: str, stale: bool) -> None:
        lock = self.model.locks.get(name)
        token = lock.token if lock and not stale else "0"
        if lock is None:
            self.refused(NotFound, lambda: self.octet.locks.release(name, token))
        elif stale:
            self.refused(StaleToken, lambda: self.octet.locks.release(name, token))
        else:
            self.octet.locks.release(name, token)
            del self.model.locks[name]

    @rule(pick=PICK)
    def end_turn(self, pick: int) -> None:
        agent = self.agent(pick)
        freed = set(self.octet.locks.end_turn(agent))
        mine = {
            name
            for name, lock in self.model.locks.items()
            if lock.holder == agent.id and lock.scope == "turn"
        }
        assert freed == (mine if self.model.alive(agent) else set())
        self.model.locks = {
            name: lock for name, lock in self.model.locks.items() if name not in freed
        }

    # What must hold after every step

    @invariant()
    def same(self) -> None:
        found = {task.id: task for task in self.octet.tasks.list(limit=10_000)}
        shown = {
            (t.id, t.state, t.holder, t.attempts, t.branch, t.priority) for t in found.values()
        }
        assert shown == {
            (t.id, t.state, t.holder, t.attempts, t.branch, t.priority)
            for t in self.model.tasks.values()
        }
        assert {agent.id: agent.incarnation for agent in self.octet.agents.list()} == {
            a.id: a.incarnation for a in self.model.agents.values()
        }
        locks = {
            lock.resource: (lock.holder, lock.token, lock.scope, lock.task)
            for lock in self.octet.locks.list()
        }
        assert locks == {
            name: (lock.holder, lock.token, lock.scope, lock.task)
            for name, lock in self.model.locks.items()
        }
        waiting = sorted(
            (t for t in self.model.tasks.values() if t.state == "pending"),
            key=lambda t: (-t.priority, t.order),
        )
        assert [task.id for task in found.values() if task.state == "pending"] == [
            task.id for task in waiting
        ]


def test_any_sequence_of_steps(redis_servers: Callable[[str], Server]) -> None:
    """Forty random sequences, short ones, that hypothesis shortens further where one fails."""
    Machine.url = redis_servers("redis").url
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("seed", range(5))
def test_long_walks(redis_servers: Callable[[str], Server], seed: int) -> None:
    """Five walks of a thousand steps: merges, last attempts and returning names occur."""
    Machine.url = redis_servers("redis").url
    chance, machine = random.Random(seed), Machine()
    machine.begin([0, 5, 0])
    try:
        for _ in range(1000):
            step = chance.choice(WALK)
            step(machine, chance, chance.randrange(10))
            machine.same()
    finally:
        machine.teardown()


def _names(chance: random.Random) -> list[str]:
    return chance.choices(RESOURCES, k=chance.randint(1, 3))


Walked = Callable[[Machine, random.Random, int], object]
# Ends of agents are few and claims many, so that work comes to its end.
WALK: list[Walked] = [
    lambda m, c, pick: m.register(
        c.choice(ROLES), c.choice(["", "s1", "s2"]), c.random() < 0.3, pick
    ),
    lambda m, c, pick: m.end(pick, c.choice(["leave", "expire", "expire silently"])),
    lambda m, c, pick: m.join(pick, c.choice(["architect", *ROLES])),
    lambda m, _, pick: m.register_again(pick),
    lambda m, _, pick: m.beat(pick),
    lambda m, c, _: m.add(c.choice([0, 0, -1000, 0.001, 1000]), c.randint(1, 3)),
    lambda m, *_: m.push(),
    *[
        lambda m, c, pick: m.claim(
            pick, c.choice(["build", "merge"]), c.choice([None, None, c.randint(1, 30)])
        )
    ]
    * 6,
    lambda m, c, pick: m.claims and m.progress(pick, c.randint(0, 100)),
    *[lambda m, _, pick: m.claims and m.submit(pick)] * 2,
    lambda m, _, pick: m.claims and m.complete(pick),
    lambda m, c, pick: m.claims and m.give_back(pick, c.random() < 0.7),
    lambda m, _, pick: m.claims and m.send_back(pick),
    *[lambda m, c, pick: m.acquire(pick, _names(c), c.choice(["turn", "turn", "own"]))] * 4,
    lambda m, c, _: m.release(c.choice(RESOURCES), c.random() < 0.3),
    *[lambda m, _, pick: m.end_turn(pick)] * 2,
]
