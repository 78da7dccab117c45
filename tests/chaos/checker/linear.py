"""Whether a history of one object could have been made by doing one operation after the other
(Herlihy and Wing's linearizability).

The method is Lowe's just-in-time linearization ("Testing for linearizability", 2017), a form of
Wing and Gong's search: the events are gone through in the order of time, with the set of
configurations that are possible so far; a configuration is a state of the object and which of the
operations under way have taken effect. Only when an operation returns must it have taken effect:
then those before it are tried in every order. It is sound and complete, and its cost depends on how
many operations are under way at once, not on the length of the history. Objects are checked one by
one, because a history is linearizable if and only if that of each object is (locality;
"P-compositionality" where the objects are keys).

An operation without an answer is under way for ever: it may take effect at any time from its
invocation on, or never. Of several such operations that are alike only the first is tried, because
it does not matter which of them it was.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tests.chaos.history import Operation

MOST_CONFIGURATIONS = 50_000

State = TypeVar("State", bound=Hashable)
Configuration = tuple[State, int]


class Model(Protocol[State]):
    """What the object does for a single client."""

    start: State

    def step(self, state: State, op: Operation) -> State | None:
        """The state after `op` with the answer that it had, or None when the object does not answer
        so.

        For one without an answer: the state after it, if it takes effect here; None if it cannot.
        """

    def likeness(self, op: Operation) -> Hashable:
        """Equal for operations without an answer that do the same."""


class TooComplex(Exception):
    """So much is possible that the search was given up; nothing is known about the history."""


@dataclass(frozen=True)
class Contradiction:
    """`op` cannot have had its answer: `states` are all that the object may have been in, `before`
    what came before it.
    """

    op: Operation
    states: tuple[Hashable, ...]
    before: tuple[Operation, ...]


def find_contradiction(
    operations: Sequence[Operation], model: Model[State]
) -> Contradiction | None:
    """The first operation whose answer no order explains; None for a linearizable history.

    Raises:
        TooComplex: more than `MOST_CONFIGURATIONS` are possible at one moment.
    """
    configurations: set[Configuration[State]] = {(model.start, 0)}
    pending: dict[int, Operation] = {}
    slots: dict[int, int] = {}
    free = list(range(len(operations)))
    for _, is_return, index in _events(operations):
        op = operations[index]
        if not is_return:
            slots[index] = heapq.heappop(free)
            pending[slots[index]] = op
            continue
        slot = slots.pop(index)
        after = _place(configurations, pending, slot, model)
        if not after:
            states = tuple(sorted({state for state, _ in configurations}, key=repr))
            return Contradiction(
                op, states, tuple(other for other in operations if other.invoked <= _end(op))
            )
        configurations = after
        del pending[slot]
        heapq.heappush(free, slot)
    return None


def _end(op: Operation) -> int:
    assert op.answered is not None
    return op.answered


def _events(operations: Sequence[Operation]) -> list[tuple[int, bool, int]]:
    """(time, whether it is a return, which operation); at one instant invocations come first, so
    that both are under way.
    """
    calls = [(op.invoked, False, index) for index, op in enumerate(operations)]
    returns = [
        (op.answered, True, index) for index, op in enumerate(operations) if op.answered is not None
    ]
    return sorted([*calls, *returns])


def _place(
    configurations: Iterable[Configuration[State]],
    pending: dict[int, Operation],
    slot: int,
    model: Model[State],
) -> set[Configuration[State]]:
    """The configurations in which the operation in `slot` has taken effect, without it; empty when
    there is none.
    """
    wanted = 1 << slot
    found: set[Configuration[State]] = set()
    stack = list(configurations)
    seen = set(stack)
    while stack:
        state, done = stack.pop()
        if done & wanted:
            found.add((state, done ^ wanted))
            continue
        for configuration in _next(state, done, pending, model):
            if configuration not in seen:
                seen.add(configuration)
                stack.append(configuration)
        if len(seen) > MOST_CONFIGURATIONS:
            raise TooComplex
    return found


def _next(
    state: State, done: int, pending: dict[int, Operation], model: Model[State]
) -> Iterable[Configuration[State]]:
    """What may take effect next."""
    tried = set()
    for slot, op in pending.items():
        if done >> slot & 1:
            continue
        if op.answered is None:
            like = model.likeness(op)
            if like in tried:
                continue
            tried.add(like)
        after = model.step(state, op)
        if after is not None and (op.answered is not None or after != state):
            yield after, done | 1 << slot
