"""Fencing tokens: invariant 1. One number is never given for two things, and what is given later
has the greater number.

Claims, locks, deliveries, versions and incarnations share one counter, so that this is the
linearizability of a counter whose results are known: they are ordered by their number, and it
suffices to compare the order of time with it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.chaos.checker.violation import Violation, excerpt
from tests.chaos.history import Operation


@dataclass(slots=True)
class Grant:
    """A number that was given for `what` at some time between `since` and `until` (ns)."""

    token: int
    what: str
    since: int
    until: int
    op: Operation


def check_tokens(operations: Sequence[Operation]) -> Iterator[Violation]:
    """All numbers of all kinds."""
    known: dict[int, Grant] = {}
    for grant in _grants(operations):
        before = known.setdefault(grant.token, grant)
        if before.what != grant.what:
            yield Violation(
                1,
                f"token {grant.token}",
                f"was given for {before.what} and for {grant.what}",
                excerpt([before.op, grant.op]),
            )
        before.since, before.until = min(before.since, grant.since), min(before.until, grant.until)
    answered: list[tuple[int, int]] = []
    greatest = 0
    for grant in sorted(known.values(), key=lambda grant: grant.since):
        while answered and answered[0][0] < grant.since:
            greatest = max(greatest, heapq.heappop(answered)[1])
        if grant.token <= greatest:
            yield Violation(
                1,
                grant.what,
                f"token {grant.token} was given after {greatest}",
                excerpt([known[greatest].op, grant.op]),
            )
        heapq.heappush(answered, (grant.until, grant.token))


def _grants(operations: Sequence[Operation]) -> Iterator[Grant]:
    """What an agent has lost an answer about may have been given to it then: its later grants may
    be that old.
    """
    lost: dict[tuple[str, str], int] = {}
    for op in operations:
        agent = (op.name, op.arguments.get("agent", ""))
        if op.answered is None:
            lost.setdefault(agent, op.invoked)
        elif op.ok:
            since = min(op.invoked, lost.get(agent, op.invoked)) if agent[1] else op.invoked
            yield from (Grant(token, what, since, op.answered, op) for token, what in _numbers(op))


def _numbers(op: Operation) -> Iterator[tuple[int, str]]:
    match op.name:
        case "claim":
            yield int(op.answer["token"]), f"task {op.answer['task']}"
        case "acquire":
            for name, token in zip(op.arguments["resources"], op.answer["tokens"], strict=True):
                yield int(token), f"{name} of {op.arguments['agent']}"
        case "reserve":
            yield int(op.answer["token"]), f"item {op.answer['value']}"
        case "set" | "compare_and_set":
            yield int(op.answer["version"]), f"value {op.arguments['value']}"
        case "register":
            yield int(op.answer["incarnation"]), f"agent {op.answer['agent']}"
