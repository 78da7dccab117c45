"""Locks: invariant 3. The locks that may cover one another (one group: here those below one top
directory) are one object.

A refusal is checked as well: the named holder must hold the lock. That another agent
waits (`awaited`) or that waiting would go round (`deadlock`) is no statement about holders and
changes nothing. A lock may be gone when its TTL has run out since its last renewal, which took
effect at its invocation or later; and when its holder is dead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from tests.chaos.checker.lives import Life
from tests.chaos.checker.objects import check_object, ended_by
from tests.chaos.checker.violation import Violation
from tests.chaos.history import Operation

HIDDEN = 0  # the token of a lock whose holder never heard of it


class Hold(NamedTuple):
    """One lock; it may be gone from `until` (ns) on."""

    resource: str
    agent: str
    token: int
    until: int


class Group(NamedTuple):
    """The locks held, and the greatest token so far."""

    holds: frozenset[Hold] = frozenset()
    greatest: int = 0

    def __str__(self) -> str:
        return (
            ", ".join(
                f"{hold.resource} held by {hold.agent} ({hold.token or '?'})"
                for hold in sorted(self.holds)
            )
            or "free"
        )


class LockModel:
    """All locks of one group."""

    start = Group()

    def step(self, group: Group, op: Operation) -> Group | None:
        match op.name:
            case "acquire":
                return _acquire(group, op)
            case "unlock":
                return _release(group, op)
            case "retire":
                return group._replace(
                    holds=frozenset(
                        hold for hold in group.holds if hold.agent != op.arguments["agent"]
                    )
                )
        raise AssertionError(op.name)

    def likeness(self, op: Operation) -> Hashable:
        return (
            op.name,
            op.arguments.get("agent"),
            tuple(op.arguments.get("resources", ())),
            op.arguments.get("token"),
        )


def covers(one: str, other: str) -> bool:
    """Whether two resources meet: the same, or a directory (`path:a/`) and what lies below it."""
    return (
        one == other
        or (one.endswith("/") and other.startswith(one))
        or (other.endswith("/") and one.startswith(other))
    )


def _acquire(group: Group, op: Operation) -> Group | None:
    agent, wanted = op.arguments["agent"], op.arguments["resources"]
    if op.outcome == "held":
        by = op.answer["holder"]
        return (
            group
            if any(
                hold.agent == by != agent and covers(hold.resource, name)
                for hold in group.holds
                for name in wanted
            )
            else None
        )
    tokens = [int(token) for token in op.answer.get("tokens", [])] or [HIDDEN] * len(wanted)
    for name, token in zip(wanted, tokens, strict=True):
        taken = _take(group, op, name, token)
        if taken is None:
            return None
        group = taken
    return group


def _take(group: Group, op: Operation, name: str, token: int) -> Group | None:
    agent, until = op.arguments["agent"], op.invoked + op.arguments["ttl_ms"] * 1_000_000
    moment = float("inf") if op.answered is None else op.answered
    others = {hold for hold in group.holds if hold.agent != agent and covers(hold.resource, name)}
    if any(hold.until > moment for hold in others):
        return None
    own = next(
        (hold for hold in group.holds if hold.agent == agent and hold.resource == name), None
    )
    renewed = own and (token in (own.token, HIDDEN) or own.token == HIDDEN)
    if own and not renewed and own.until > moment:
        return None
    if own and renewed:
        hold = Hold(name, agent, token or own.token, max(until, own.until))
    elif token == HIDDEN or token > group.greatest:
        hold = Hold(name, agent, token, until)
    else:
        return None
    return Group((group.holds - others - {own}) | {hold}, max(group.greatest, token))


def _release(group: Group, op: Operation) -> Group | None:
    name, token = op.arguments["resource"], int(op.arguments["token"])
    shown = next(
        (hold for hold in group.holds if hold.resource == name and hold.token == token), None
    )
    if op.outcome == "ok" or op.answered is None:
        return group._replace(holds=group.holds - {shown}) if shown else None
    moment = op.answered
    there = [hold for hold in group.holds if hold.resource == name and hold.until > moment]
    if op.outcome == "missing" and there:
        return None
    return group if not shown or shown.until <= moment else None


def check_locks(operations: Sequence[Operation], lives: dict[str, Life]) -> Iterator[Violation]:
    """Every group's history on its own; and at the end, with everybody gone, nothing is locked."""
    groups: dict[str, list[Operation]] = defaultdict(list)
    for op in operations:
        if op.name == "unlock" or (op.name == "acquire" and op.outcome in ("ok", "held", "?")):
            groups[group_of(op.arguments.get("resource") or op.arguments["resources"][0])].append(
                op
            )
        elif op.name == "locked":
            for resource in op.answer.get("resources", []):
                yield Violation(3, resource, "is locked though everybody is gone")
    for name, own in groups.items():
        agents = {
            op.arguments["agent"] for op in own if op.name == "acquire" and op.outcome != "held"
        }
        yield from check_object(
            f"locks of {name}", [*own, *ended_by(agents, lives)], LockModel(), lambda _: 3
        )


def group_of(resource: str) -> str:
    """What may cover, or be covered by, this resource."""
    return resource.partition("/")[0]
