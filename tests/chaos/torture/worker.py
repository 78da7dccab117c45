"""What one worker does: again and again one of six things, by chance, each recorded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.history import Recorder
from tests.chaos.torture.acts import Acts, Answer
from tests.chaos.torture.plan import chance_of

from octet.base.errors import OctetError
from octet.base.process import host_id, identify
from octet.client.api import Octet
from octet.core.agents.registry import Agent, Registration
from octet.store.connection import connect, open_client

ROLES = tuple(f"torturer{n}" for n in range(5))
QUEUES = tuple(f"q{n}" for n in range(4))
GATES = (("merge",), ("review", "merge"), ("review", "test", "merge"))
STAGES = ("build", "build", "build", "review", "test", "merge", "merge")
# After so many operations of its own a worker goes on to other values, locks and counters: no
# history of one object is long.
EPOCH = 400
MOST_TAKEN = 20
AWAY_LEASE_MS = 2500
MIX = {"tasks": 40, "locks": 18, "queues": 14, "values": 12, "counters": 6, "messages": 10}


@dataclass(frozen=True)
class Setting:
    """What all workers of a run share. `proxy`: the socket of the wire that can be cut, for every
    tenth of them.
    """

    seed: int
    project: str
    directory: Path
    proxy: str
    mix: tuple[str, ...] = tuple(MIX)
    away: bool = True


class Worker:
    """One process. `go_on()` counts an operation and says whether there shall be another."""

    def __init__(self, setting: Setting, slot: int, generation: int) -> None:
        self.setting, self.name = setting, f"w{slot}.{generation}"
        self.chance = chance_of(setting.seed, slot, generation)
        client = (
            open_client(setting.proxy, answer_s=1.5)
            if setting.proxy and slot % 10 == 9
            else connect(None)
        )
        self.octet = Octet(client, setting.project)
        self.role = ROLES[slot % len(ROLES)]
        # One in ten says that it is on another machine: its process is unwatched, and its lease
        # is all that it has.
        self.away_ms = AWAY_LEASE_MS if setting.away and slot % 10 == 4 else 0
        self.acts = Acts(self.octet, Recorder(setting.directory / f"{self.name}.log"))
        self.agent: Agent | None = None
        self.beaten = 0.0
        self.agents = self.made = 0
        self.old_claims: list[Answer] = []
        self.old_locks: list[tuple[str, str]] = []
        self.known: dict[tuple[str, str], str] = {}
        self.added: list[tuple[str, str]] = []

    def run(self, go_on: Callable[[int], bool]) -> None:
        """Until it is told to end; then it leaves."""
        kinds: dict[str, Callable[[Agent], object]] = {
            "tasks": self.work_on_task,
            "locks": self.use_locks,
            "queues": self.use_queue,
            "values": self.use_values,
            "counters": self.use_counter,
            "messages": self.use_messages,
        }
        weights = [MIX[kind] for kind in self.setting.mix]
        while go_on(self.acts.done):
            agent = self.present()
            if agent:
                kinds[self.chance.choices(self.setting.mix, weights)[0]](agent)
        if self.agent:
            self.acts.leave(self.agent)

    def present(self) -> Agent | None:
        """The agent that this worker is now: registered, its lease renewed if no daemon does."""
        if self.agent is None:
            self.agent = self.register()
        elif self.away_ms and time.monotonic() - self.beaten > self.away_ms / 5000:
            self.beaten = time.monotonic()
            self.settle(self.acts.beat(self.agent, self.away_ms))
        return self.agent

    def register(self) -> Agent | None:
        self.agents += 1
        self.beaten = time.monotonic()
        me = identify(os.getpid())
        assert me
        host, process = (
            (f"away-{me.pid}", "") if self.away_ms else (host_id(), f"{me}#{self.agents}")
        )
        wanted = Registration(
            role=self.role, process=process, host=host, pid=me.pid, lease_ms=self.away_ms or 30_000
        )
        agent = self.acts.register(wanted, self.away_ms)
        if agent is None:
            self.wait_for_server()
        return agent

    def settle(self, answer: Answer) -> Answer:
        """Go on after an answer: as another agent when this one is dead, and when the server is
        there again.
        """
        if not answer:
            self.wait_for_server()
        elif answer["outcome"] == "gone":
            self.agent = None
        return answer

    def wait_for_server(self) -> None:
        for _ in range(200):
            try:
                self.octet.now_ms()
                return
            except OctetError:
                time.sleep(0.02)

    def new(self, kind: str) -> str:
        """A name that no other worker gives."""
        self.made += 1
        return f"{kind}-{self.name}-{self.made}"

    @property
    def epoch(self) -> int:
        return self.acts.done // EPOCH

    # tasks

    def work_on_task(self, agent: Agent) -> None:
        if self.chance.random() < 0.25:
            return self.add_task()
        if self.old_claims and self.chance.random() < 0.12:
            self.write_late(agent)
        stage = self.chance.choice(STAGES)
        claim = self.settle(self.acts.claim(agent, stage))
        for _ in range(
            20
        ):  # what was asked may have been done: the same claim again gives the same task
            if claim:
                break
            claim = self.settle(self.acts.claim(agent, stage))
        if claim.get("outcome") == "refused":
            return self.find_claim(agent)
        if claim.get("outcome") == "ok":
            return self.do_task(agent, claim, stage)
        if stage == "build":
            self.add_task()
        return None

    def add_task(self) -> None:
        title = self.new("task")
        own_id = title if self.chance.random() < 0.7 else None
        answer = self.settle(self.acts.add(title, own_id, self.chance.randrange(5)))
        if answer.get("outcome") == "ok":
            self.added.append((title, answer["id"]))
            del self.added[:-20]

    def find_claim(self, agent: Agent) -> None:
        """A lost answer has left a claim of another stage behind."""
        for stage in ("build", "review", "test", "merge"):
            claim = self.settle(self.acts.claim(agent, stage))
            if claim.get("outcome") == "ok":
                return self.do_task(agent, claim, stage)
        return None

    def do_task(self, agent: Agent, claim: Answer, stage: str) -> None:
        tasks, chance = self.octet.tasks, self.chance.random()
        self.old_claims.append(claim)
        del self.old_claims[:-5]
        if self.chance.random() < 0.5:
            percent = self.chance.randrange(100)
            self.settle(
                self.acts.write(
                    "progress", agent, claim, lambda id, token: tasks.progress(id, token, percent)
                )
            )
        if self.added and self.chance.random() < 0.1:
            self.settle(self.acts.get(*self.chance.choice(self.added)))
        if chance < 0.06:
            self.write("fail", agent, claim, lambda id, token: tasks.fail(id, token, "it was so"))
        elif chance < 0.14:
            self.write("release", agent, claim, lambda id, token: tasks.release(id, token))
        elif stage in ("review", "test") and chance < 0.8:
            self.write("pass", agent, claim, lambda id, token: tasks.pass_on(id, token))
        elif stage != "build" and chance < 0.3:
            self.write(
                "send_back", agent, claim, lambda id, token: tasks.send_back(id, token, "again", 0)
            )
        elif stage == "build" and chance < 0.4:
            self.submit(agent, claim)
        else:
            self.write(
                "complete", agent, claim, lambda id, token: tasks.complete(id, token, "done")
            )
        if chance >= 0.97:  # a second time, as after a lost answer
            self.write(
                "complete", agent, claim, lambda id, token: tasks.complete(id, token, "done")
            )

    def write(
        self, name: str, agent: Agent, claim: Answer, write: Callable[[str, str], object]
    ) -> None:
        """A write that ends the claim; what does not fit the task's stage is refused, and the claim
        is given back.
        """
        answer = self.settle(self.acts.write(name, agent, claim, write))
        if answer.get("outcome") == "state":
            self.settle(
                self.acts.write(
                    "release", agent, claim, lambda id, token: self.octet.tasks.release(id, token)
                )
            )

    def submit(self, agent: Agent, claim: Answer) -> None:
        gates = self.chance.choice(GATES)
        self.settle(
            self.acts.write(
                "submit",
                agent,
                claim,
                lambda id, token: self.octet.tasks.submit(
                    id, token, branch=f"octet/{id}", commit="c0ffee", gates=gates
                ),
                gates=gates,
            )
        )

    def write_late(self, agent: Agent) -> None:
        """A write under a claim of before, which must change nothing."""
        claim, tasks = self.chance.choice(self.old_claims), self.octet.tasks
        name, write = self.chance.choice(
            (
                ("progress", lambda id, token: tasks.progress(id, token, 1)),
                ("complete", lambda id, token: tasks.complete(id, token, "late")),
                ("release", lambda id, token: tasks.release(id, token)),
                ("fail", lambda id, token: tasks.fail(id, token, "late")),
                ("pass", lambda id, token: tasks.pass_on(id, token)),
            )
        )
        self.settle(self.acts.write(name, agent, claim, write))

    # locks

    def use_locks(self, agent: Agent) -> None:
        wanted, ttl_ms = self.some_paths(), 60_000
        if self.chance.random() < 0.1:
            ttl_ms = self.chance.choice((150, 400))
        wait_s = self.chance.choice((0.05, 0.2)) if self.chance.random() < 0.1 else 0.0
        held = self.settle(self.acts.acquire(agent, wanted, ttl_ms, wait_s))
        for _ in range(20):
            if held:
                break
            held = self.settle(self.acts.acquire(agent, wanted, ttl_ms))
        if self.old_locks and self.chance.random() < 0.3:
            self.settle(self.acts.unlock(agent, *self.chance.choice(self.old_locks)))
        if held.get("outcome") != "ok" or agent is not self.agent:
            return
        if self.chance.random() < 0.2:
            self.settle(self.acts.acquire(agent, wanted, ttl_ms))
        if ttl_ms < 1000 and self.chance.random() < 0.5:
            return  # it runs out
        for resource, token in zip(wanted, held["tokens"], strict=True):
            self.settle(self.acts.unlock(agent, resource, token))
            self.old_locks.append((resource, token))
        del self.old_locks[:-10]

    def some_paths(self) -> list[str]:
        """One or two files of one directory, or now and then all of it."""
        directory = f"path:d{self.epoch}-{self.chance.randrange(8)}"
        if self.chance.random() < 0.1:
            return [f"{directory}/"]
        files = self.chance.sample(range(5), self.chance.choice((1, 1, 2)))
        return [f"{directory}/f{n}" for n in files]

    # queues

    def use_queue(self, agent: Agent) -> None:  # noqa: ARG002 - a queue's worker is a process
        queue = self.chance.choice(QUEUES)
        if self.chance.random() < 0.3:
            self.settle(
                self.acts.push(
                    queue, [self.new("item") for _ in range(self.chance.choice((1, 1, 3)))]
                )
            )
            return
        lease_s = self.chance.choice((0.1, 0.5, 3.0))
        given = self.settle(self.acts.reserve(queue, lease_s))
        if given.get("outcome") != "ok":
            return
        chance = self.chance.random()
        if chance < 0.1:
            self.settle(self.acts.settle("extend", queue, given, lease_s))
        if chance < 0.9:
            self.settle(self.acts.settle("nack" if chance > 0.75 else "ack", queue, given))
        if chance < 0.05:
            self.settle(
                self.acts.settle(self.chance.choice(("ack", "nack", "extend")), queue, given)
            )  # too late

    # values

    def use_values(self, agent: Agent) -> None:  # noqa: ARG002 - a state knows no agents
        state, field = f"s{self.chance.randrange(3)}", f"f{self.epoch}-{self.chance.randrange(4)}"
        chance = self.chance.random()
        if chance < 0.08:
            self.settle(self.acts.delete(state, field))
        elif chance < 0.25:
            self.settle(self.acts.set(state, field, self.new("value")))
        else:
            found = self.settle(self.acts.read(state, field))
            if found.get("outcome") == "ok" and chance < 0.75:
                self.settle(
                    self.acts.compare_and_set(state, field, self.new("value"), found["version"])
                )

    def use_counter(self, agent: Agent) -> None:  # noqa: ARG002 - nor does a counter
        self.settle(
            self.acts.count(
                f"c{self.epoch}-{self.chance.randrange(4)}", 1 if self.chance.random() < 0.8 else 0
            )
        )

    # messages

    def use_messages(self, agent: Agent) -> None:
        if self.chance.random() < 0.5:
            to = agent.id if self.chance.random() < 0.2 else self.chance.choice(ROLES)
            self.settle(self.acts.send(to, self.new("message"), agent.id))
        else:
            self.settle(self.acts.take(agent, MOST_TAKEN))
