"""The history of one object, checked against its model, and what contradicts it put into words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tests.chaos.checker.linear import Contradiction, Model, TooComplex, find_contradiction
from tests.chaos.checker.lives import Life
from tests.chaos.checker.violation import Violation, excerpt
from tests.chaos.history import Operation

UNDECIDED = 0


def check_object(
    subject: str, operations: Sequence[Operation], model: Model[Any], invariant: Callable[[Operation], int]
) -> Iterator[Violation]:
    """At most one violation; an object whose history is too complex is one of "invariant 0", so that nobody takes it for checked."""
    try:
        found = find_contradiction(operations, model)
    except TooComplex:
        yield Violation(UNDECIDED, subject, "its history is too complex to be checked")
        return
    if found:
        yield Violation(invariant(found.op), subject, _in_words(found), _shown(found))


def ended_by(agents: Iterable[str], lives: dict[str, Life]) -> list[Operation]:
    """What may happen to an object when these agents are dead: from then on, at any time or never, they lose it."""
    ends = [(agent, lives[agent].ends) for agent in sorted(agents) if agent in lives]
    return [Operation("retire", "-", moment, None, {"agent": agent}, {}) for agent, moment in ends if moment is not None]


def _in_words(found: Contradiction) -> str:
    states = [str(state) for state in found.states[:3]]
    more = f" or {len(found.states) - 3} others" if len(found.states) > 3 else ""
    return f"{found.op.name} by {found.op.worker} answered {found.op.outcome!r}, which cannot be where it was {' or '.join(states)}{more}"


def _shown(found: Contradiction) -> tuple[Operation, ...]:
    """What changed the object, or tried to while the operation was under way; what was refused or only read long before is left out."""
    told = [op for op in found.before if op is found.op or op.answered is None or op.ok or op.answered >= found.op.invoked]
    return excerpt(op for op in told if op.name != "get" or op is found.op)
