"""Since when each agent may be dead: invariant 4.

An agent of this machine may lose what it has when its process was told to end (`kill`), one of
another machine when its lease has run out since its last renewal, and any when it leaves; never
before. The renewal took effect at its invocation or later, so that the end found here is never too
late.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.chaos.checker.violation import Violation, excerpt
from tests.chaos.history import Operation


@dataclass
class Life:
    """An agent's: `ends` is the first moment (ns) at which it may be dead, None where it is alive
    to the last.
    """

    agent: str
    worker: str
    lease_ns: int
    ends: int | None = None

    def end_at(self, moment: int) -> None:
        self.ends = moment if self.ends is None else min(self.ends, moment)


def read_lives(operations: Iterable[Operation]) -> dict[str, Life]:
    """Every agent that was registered; `lease_ms` of a registration is 0 for one whose process is
    watched.
    """
    lives: dict[str, Life] = {}
    renewed: dict[str, int] = {}
    kills: dict[str, int] = {}
    for op in operations:
        if op.name == "register" and op.ok:
            lives[op.answer["agent"]] = Life(
                op.answer["agent"], op.worker, op.arguments.get("lease_ms", 0) * 1_000_000
            )
            renewed[op.answer["agent"]] = op.invoked
        elif op.name == "kill":
            kills[op.arguments["worker"]] = op.invoked
        elif op.name == "beat" and op.ok:
            renewed[op.arguments["agent"]] = op.invoked
        elif op.name == "leave" and op.arguments["agent"] in lives:
            lives[op.arguments["agent"]].end_at(op.invoked)
    for life in lives.values():
        if life.lease_ns:
            life.end_at(renewed[life.agent] + life.lease_ns)
        elif life.worker in kills:
            life.end_at(kills[life.worker])
    return lives


def check_lives(operations: Sequence[Operation], lives: dict[str, Life]) -> Iterator[Violation]:
    """No agent is told that it is dead before it is; at the end no dead one is registered."""
    for op in operations:
        life = lives.get(op.arguments.get("agent", ""))
        if (
            op.outcome == "gone"
            and life
            and op.answered is not None
            and (life.ends is None or op.answered < life.ends)
        ):
            yield Violation(
                4, f"agent {life.agent}", "is alive and was declared dead", excerpt([op])
            )
        if op.name == "registered":
            for agent in op.answer.get("agents", []):
                if agent in lives and lives[agent].ends is not None:
                    yield Violation(4, f"agent {agent}", "is dead and never expired", excerpt([op]))
