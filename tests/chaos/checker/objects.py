"""The history of one object, checked against its model, and what contradicts it put into words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tests.chaos.checker.linear import Contradiction, Model, TooComplex, find_contradiction
from tests.chaos.checker.lives import Life
from tests.chaos.checker.violation import Violation, excerpt
from tests.chaos.history import Operation

UNDECIDED = 0
FATE = "-"  # the worker of what happens to an object of itself
FEW = 3


def check_object(
    subject: str,
    operations: Sequence[Operation],
    model: Model[Any],
    invariant: Callable[[Operation], int],
) -> Iterator[Violation]:
    """At most one violation; an object whose history is too complex is one of "invariant 0", so
    that it is not taken for checked.
    """
    try:
        found = explain(operations, model)
    except TooComplex:
        yield Violation(UNDECIDED, subject, "its history is too complex to be checked")
        return
    if found:
        yield Violation(invariant(found.op), subject, _in_words(found), _shown(found))


def explain(
    operations: Sequence[Operation], model: Model[Any], few: int = FEW
) -> Contradiction | None:
    """As `find_contradiction`, where many operations (more than `few`) have no answer.

    None of these need have happened. So the history is first tried without them; where it
    contradicts itself, with the one of them that explains the most, and so on. Only a contradiction
    that none of them explains is looked for among all of them at once.
    """
    unsure = [op for op in operations if op.answered is None and op.worker != FATE]
    if len(unsure) <= few:
        return find_contradiction(operations, model)
    chosen = [op for op in operations if op.answered is not None or op.worker == FATE]
    found = find_contradiction(chosen, model)
    while found and (better := _next_explanation(found, unsure, chosen, model)):
        helpful, found = better
        unsure.remove(helpful)
        chosen.append(helpful)
    return found and find_contradiction(operations, model)


def _next_explanation(
    found: Contradiction,
    unsure: Sequence[Operation],
    chosen: Sequence[Operation],
    model: Model[Any],
) -> tuple[Operation, Contradiction | None] | None:
    """The operation without an answer that, if it happened, takes the history further, and where it
    then contradicts itself.

    Those are tried first that speak of what the contradiction speaks of, the latest of them in
    front.
    """
    reached, words = _moment(found), f"{found.states} {found.op.arguments} {found.op.answer}"
    candidates = [op for op in unsure if op.invoked < reached]
    for op in sorted(candidates, key=lambda op: (not _speaks_of(op, words), -op.invoked)):
        after = find_contradiction([*chosen, op], model)
        if after is None or _moment(after) > reached:
            return op, after
    return None


def _speaks_of(op: Operation, words: str) -> bool:
    names = [
        op.arguments.get("agent"),
        op.arguments.get("value"),
        op.arguments.get("resource"),
        *op.arguments.get("resources", ()),
    ]
    return any(repr(name) in words for name in names if name)


def _moment(found: Contradiction) -> int:
    assert found.op.answered is not None
    return found.op.answered


def ended_by(agents: Iterable[str], lives: dict[str, Life]) -> list[Operation]:
    """What may happen to an object when these agents are dead: from then on, at any time or never,
    they lose it.
    """
    ends = [(agent, lives[agent].ends) for agent in sorted(agents) if agent in lives]
    return [
        Operation("retire", FATE, moment, None, {"agent": agent}, {})
        for agent, moment in ends
        if moment is not None
    ]


def _in_words(found: Contradiction) -> str:
    states = [str(state) for state in found.states[:3]]
    more = f" or {len(found.states) - 3} others" if len(found.states) > 3 else ""
    return (
        f"{found.op.name} by {found.op.worker} answered {found.op.outcome!r}, which cannot be "
        f"where it was {' or '.join(states)}{more}"
    )


def _shown(found: Contradiction) -> tuple[Operation, ...]:
    """What changed the object, or tried to while the operation was under way; what was refused or
    only read long before is left out.
    """
    told = [
        op
        for op in found.before
        if op is found.op or op.answered is None or op.ok or op.answered >= found.op.invoked
    ]
    return excerpt(op for op in told if op.name != "get" or op is found.op)
