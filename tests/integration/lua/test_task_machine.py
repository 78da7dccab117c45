"""Random lives of tasks, step by step beside a model in plain Python, on the real server."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.support.redis_fixtures import Server
from tests.support.store_fixtures import contradictions, join

from octet.base.errors import IllegalTransition, NothingToClaim, Refused, StaleToken, WorkMoved
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import STAGES
from octet.core.tasks.verdicts import Finding, NewRecord
from octet.store.connection import open_client

SCOPES = ["", "a", "b"]  # two are in each other's way when they are the same
GATES = [(), ("merge",), ("review", "merge"), ("review", "security", "test", "merge")]
PICK = st.integers(0, 1_000_000)


@dataclass
class Model:
    """What a task must be."""

    id: str
    priority: int
    after: tuple[str, ...]
    needs: tuple[str, ...]
    scope: str
    gates: tuple[str, ...]
    state: str = "pending"
    stage: str = "build"
    holder: str = ""
    token: str = ""
    attempts: int = 0
    gate_attempts: int = 0
    author: str = ""
    commit: str = ""
    records: int = 0
    offered_to: str = ""
    in_flight: bool = False


class TaskMachine(RuleBasedStateMachine):
    """Three agents, one of which can do more; every step on the server and in the model."""

    octet: ClassVar[Octet]

    @initialize()
    def begin(self) -> None:
        self.octet.store.client.flushall()
        self.agents = {
            agent.id: agent
            for agent in (
                join(self.octet),
                join(self.octet),
                join(self.octet, capabilities=("sql",)),
            )
        }
        self.tasks: dict[str, Model] = {}
        self.last_token = 0

    def of(self, *states: str) -> list[Model]:
        return [task for task in self.tasks.values() if task.state in states]

    def held(self) -> list[Model]:
        return self.of("claimed", "in-review", "testing", "merging")

    @rule(
        priority=st.integers(-2, 2),
        after=st.lists(PICK, max_size=2),
        sql=st.booleans(),
        scope=st.sampled_from(SCOPES),
        gates=st.sampled_from(GATES),
    )
    def add(
        self, priority: int, after: list[int], sql: bool, scope: str, gates: tuple[str, ...]
    ) -> None:
        ids = list(self.tasks)
        wanted = tuple(dict.fromkeys(ids[pick % len(ids)] for pick in after)) if ids else ()
        needs = ("sql",) if sql else ()
        task = self.octet.tasks.add(
            "t",
            priority=priority,
            after=wanted,
            needs=needs,
            paths=[f"{scope}/**"] if scope else [],
            gates=gates,
        )
        self.tasks[task.id] = Model(
            task.id, priority, wanted, needs, scope, gates, self.ready_state(wanted)
        )

    def ready_state(self, after: tuple[str, ...]) -> str:
        return "pending" if all(self.tasks[other].state == "done" for other in after) else "blocked"

    def free(self, task: Model) -> bool:
        return not task.scope or not any(
            other.in_flight and other.scope == task.scope and other is not task
            for other in self.tasks.values()
        )

    def expected(self, agent: Agent, stage: str) -> Model | None:
        if STAGES[stage].waiting == "submitted":
            fit = [
                task
                for task in self.of("submitted")
                if task.stage == stage and self.may_judge(agent, task)
            ]
            return min(fit, key=self.order, default=None)
        fit = [
            task
            for task in self.of("pending")
            if set(task.needs) <= set(agent.capabilities) and self.free(task)
        ]
        own = [task for task in fit if task.offered_to == agent.id]
        return (
            own[0]
            if own
            else min((task for task in fit if not task.offered_to), key=self.order, default=None)
        )

    @staticmethod
    def may_judge(agent: Agent, task: Model) -> bool:
        return task.author != agent.id or task.stage not in ("review", "security")

    @staticmethod
    def order(task: Model) -> tuple[int, int]:
        return (-task.priority, int(task.id))

    @rule(
        who=PICK,
        stage=st.sampled_from(
            ["build", "build", "build", "review", "review", "security", "test", "merge", "merge"]
        ),
    )
    def claim(self, who: int, stage: str) -> None:
        agent = list(self.agents.values())[who % 3]
        wanted = self.expected(agent, stage)
        if wanted is None:
            with pytest.raises(NothingToClaim):
                self.octet.tasks.claim(agent, stage, max_claims=99)
            return
        task = self.octet.tasks.claim(agent, stage, max_claims=99)
        found = self.tasks[task.id]
        assert found is wanted or (wanted.offered_to == agent.id and found.offered_to == agent.id)
        assert int(task.token) > self.last_token
        self.last_token = int(task.token)
        found.state, found.stage, found.holder, found.token = (
            str(STAGES[stage].working),
            stage,
            agent.id,
            task.token,
        )
        if stage == "build":
            found.attempts += 1
            found.offered_to, found.in_flight = "", bool(found.scope)

    def step(
        self, task: Model, allowed: bool, call: Callable[..., Any], *arguments: Any, **named: Any
    ) -> bool:
        """Make the step where it is allowed; elsewhere it must be refused, and change nothing."""
        if allowed:
            call(task.id, *arguments, **named)
        else:
            with pytest.raises(IllegalTransition):
                call(task.id, *arguments, **named)
        return allowed

    def judge(
        self,
        task: Model,
        allowed: bool,
        call: Callable[..., Any],
        verdict: str,
        *arguments: Any,
        moved: bool = False,
    ) -> bool:
        """Such a step with a record; one about another commit is refused."""
        record = NewRecord(verdict, findings=(Finding("a", 1, "minor", "x"),))
        if allowed and moved:
            with pytest.raises(WorkMoved):
                call(task.id, *arguments, record=record, commit="another")
            return False
        task.records += allowed
        return self.step(task, allowed, call, *arguments, record=record)

    @precondition(lambda self: self.held())
    @rule(pick=PICK, gates=st.sampled_from(GATES))
    def submit(self, pick: int, gates: tuple[str, ...]) -> None:
        task, commit = self.held()[pick % len(self.held())], self.new_commit()
        author = task.holder
        if self.step(
            task,
            task.state == "claimed",
            self.octet.tasks.submit,
            task.token,
            branch="b",
            commit=commit,
            gates=gates,
        ):
            self.submitted(task, commit, gates)
            task.author = author

    def new_commit(self) -> str:
        self.commits = getattr(self, "commits", 0) + 1
        return f"c{self.commits}"

    def submitted(self, task: Model, commit: str, gates: tuple[str, ...]) -> None:
        task.gates = gates or task.gates or ("merge",)
        task.state, task.stage, task.holder, task.commit, task.gate_attempts = (
            "submitted",
            task.gates[0],
            "",
            commit,
            0,
        )

    @precondition(lambda self: self.tasks)
    @rule(pick=PICK, who=PICK, same=st.booleans(), gates=st.sampled_from(GATES))
    def renew(self, pick: int, who: int, same: bool, gates: tuple[str, ...]) -> None:
        """Without a token: by the author while no merge runs."""
        task, agent = (
            list(self.tasks.values())[pick % len(self.tasks)],
            list(self.agents.values())[who % 3],
        )
        commit = task.commit if same and task.commit else self.new_commit()
        open_ = task.state in ("submitted", "in-review", "testing")
        if open_ and agent.id != task.author:
            with pytest.raises(Refused, match="its author"):
                self.octet.tasks.renew(task.id, agent=agent, branch="b", commit=commit)
        elif (
            self.step(
                task,
                open_,
                self.octet.tasks.renew,
                agent=agent,
                branch="b",
                commit=commit,
                gates=gates,
            )
            and commit != task.commit
        ):
            self.submitted(task, commit, gates)

    @precondition(lambda self: self.held())
    @rule(pick=PICK)
    def renew_as_holder(self, pick: int) -> None:
        task, commit = self.held()[pick % len(self.held())], self.new_commit()
        named = {
            "agent": self.agents[task.holder],
            "token": task.token,
            "branch": "b",
            "commit": commit,
        }
        if self.step(task, task.state != "claimed", self.octet.tasks.renew, **named):
            self.submitted(task, commit, ())

    @precondition(lambda self: self.held())
    @rule(pick=PICK, moved=st.booleans())
    def pass_on(self, pick: int, moved: bool) -> None:
        task = self.held()[pick % len(self.held())]
        if self.judge(
            task,
            task.state in ("in-review", "testing"),
            self.octet.tasks.pass_on,
            "approve",
            task.token,
            moved=moved,
        ):
            task.state, task.stage, task.holder = (
                "submitted",
                task.gates[task.gates.index(task.stage) + 1],
                "",
            )
            task.gate_attempts = 0

    @precondition(lambda self: self.held())
    @rule(pick=PICK, moved=st.booleans())
    def send_back(self, pick: int, moved: bool) -> None:
        task = self.held()[pick % len(self.held())]
        if self.judge(
            task,
            task.state != "claimed",
            self.octet.tasks.send_back,
            "changes",
            task.token,
            moved=moved,
        ):
            task.state, task.stage, task.holder = "pending", "build", ""
            task.offered_to = task.author if task.author in self.agents else ""

    @precondition(lambda self: self.held())
    @rule(pick=PICK)
    def complete(self, pick: int) -> None:
        task = self.held()[pick % len(self.held())]
        allowed = task.state == "merging" or (task.state == "claimed" and not task.commit)
        if self.step(task, allowed, self.octet.tasks.complete, task.token):
            task.state, task.holder, task.in_flight = "done", "", False
            for other in self.of("blocked"):
                other.state = self.ready_state(other.after)

    @precondition(lambda self: self.held())
    @rule(pick=PICK, counts=st.booleans())
    def give_back(self, pick: int, counts: bool) -> None:
        task = self.held()[pick % len(self.held())]
        (self.octet.tasks.fail if counts else self.octet.tasks.release)(task.id, task.token, "why")
        task.holder = ""
        if task.state != "claimed":
            self.ended_at_gate(task, counts)
            return
        task.in_flight = False
        task.attempts -= 0 if counts else 1
        task.state = "dead" if counts and task.attempts >= 3 else "pending"

    @staticmethod
    def ended_at_gate(task: Model, counts: bool) -> None:
        task.gate_attempts += counts
        dead = counts and task.gate_attempts >= 3
        task.state, task.in_flight = "dead" if dead else "submitted", task.in_flight and not dead

    @precondition(lambda self: self.tasks)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        task = list(self.tasks.values())[pick % len(self.tasks)]
        if self.step(
            task, task.state not in ("merging", "done", "cancelled"), self.octet.tasks.cancel
        ):
            task.state, task.holder, task.in_flight = "cancelled", "", False

    @precondition(lambda self: self.tasks)
    @rule(pick=PICK)
    def retry(self, pick: int) -> None:
        task = list(self.tasks.values())[pick % len(self.tasks)]
        if self.step(task, task.state in ("dead", "cancelled"), self.octet.tasks.retry):
            task.state, task.stage, task.attempts, task.gate_attempts = (
                self.ready_state(task.after),
                "build",
                0,
                0,
            )

    @precondition(lambda self: self.tasks)
    @rule(pick=PICK, token=st.sampled_from(["", "0", "old"]))
    def stale(self, pick: int, token: str) -> None:
        task = list(self.tasks.values())[pick % len(self.tasks)]
        with pytest.raises((StaleToken, Refused)):
            self.octet.tasks.fail(task.id, token, "why")

    @precondition(lambda self: self.agents)
    @rule(who=PICK)
    def die(self, who: int) -> None:
        agent = list(self.agents.values())[who % 3]
        assert self.octet.agents.expire(agent) is not None
        for task in [task for task in self.held() if task.holder == agent.id]:
            build, task.holder = task.state == "claimed", ""
            if not build:
                self.ended_at_gate(task, counts=True)
                continue
            task.state, task.in_flight = "dead" if task.attempts >= 3 else "pending", False
        for task in self.tasks.values():
            task.offered_to = "" if task.offered_to == agent.id else task.offered_to
        del self.agents[agent.id]
        new = join(self.octet, capabilities=agent.capabilities)
        self.agents[new.id] = new

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "tasks"):
            return
        found = {task.id: task for task in self.octet.tasks.list(limit=10_000)}
        assert {i: self.facts(t) for i, t in found.items()} == {
            i: self.facts(t) for i, t in self.tasks.items()
        }
        for task in self.tasks.values():
            records = self.octet.tasks.records(task.id)
            assert [record.n for record in records] == list(range(1, task.records + 1))
        assert contradictions(self.octet) == []

    @staticmethod
    def facts(task: Any) -> tuple[Any, ...]:
        return (
            task.state,
            task.stage,
            task.holder,
            task.attempts,
            task.gate_attempts,
            task.gates,
            task.author,
            task.commit,
        )


def test_tasks_live_as_the_model_says(redis_servers: Callable[[str], Server]) -> None:
    """Whatever is done to tasks in whatever order, each is in the state that the model says, and no
    key contradicts another.
    """
    with Octet(open_client(redis_servers("redis").url), "p") as octet:
        TaskMachine.octet = octet
        few = settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(TaskMachine, settings=few)


Walked = Callable[[TaskMachine, random.Random, int], Any]
# Claims are many and ends few, so that work comes through all its gates.
STAGES_WALKED = ["build", "build", "review", "review", "security", "test", "merge"]
WALK: list[Walked] = [
    *[
        lambda m, c, _: (
            len(m.of("pending", "blocked")) > 3
            or m.add(c.randint(-2, 2), [], False, c.choice(SCOPES), c.choice(GATES))
        )
    ]
    * 2,
    *[lambda m, c, pick: m.claim(pick, c.choice(STAGES_WALKED))] * 9,
    *[
        lambda m, c, _: (
            m.of("claimed") and m.submit(m.held().index(c.choice(m.of("claimed"))), c.choice(GATES))
        )
    ]
    * 3,
    *[lambda m, c, pick: m.held() and m.pass_on(pick, c.random() < 0.2)] * 3,
    lambda m, c, _: m.of("merging") and m.complete(m.held().index(c.choice(m.of("merging")))),
    lambda m, c, pick: m.held() and m.send_back(pick, c.random() < 0.2),
    lambda m, c, pick: m.held() and m.give_back(pick, c.random() < 0.7),
    lambda m, c, pick: m.tasks and m.renew(pick, c.randrange(3), c.random() < 0.3, c.choice(GATES)),
    lambda m, _, pick: m.held() and m.renew_as_holder(pick),
    lambda m, c, pick: m.tasks and c.random() < 0.2 and m.cancel(pick),
    lambda m, _, pick: m.tasks and m.retry(pick),
    lambda m, c, pick: c.random() < 0.3 and m.die(pick),
]


def test_long_lives(redis_servers: Callable[[str], Server]) -> None:
    """The same in three walks of four hundred steps, which come as far as every verdict of every
    gate, and a task dead at one.
    """
    met = set[str]()
    with Octet(open_client(redis_servers("redis").url), "p") as octet:
        TaskMachine.octet = octet
        for seed in range(3):
            met.update(walk(octet, random.Random(seed)))
    assert met >= {
        "review approve",
        "review changes",
        "security approve",
        "test approve",
        "merge changes",
        "done",
        "dead at a gate",
    }


def walk(octet: Octet, chance: random.Random) -> list[str]:
    """One walk; what was found out and what became of its tasks."""
    machine, ends = TaskMachine(), set[str]()
    machine.begin()
    for _ in range(400):
        chance.choice(WALK)(machine, chance, chance.randrange(1_000_000))
        machine.same()
        ends |= {
            "dead at a gate" if task.gate_attempts >= 3 else task.state
            for task in machine.of("done", "dead")
        }
    records = [record for task_id in machine.tasks for record in octet.tasks.records(task_id)]
    return [*(f"{record.gate} {record.verdict}" for record in records), *sorted(ends)]
