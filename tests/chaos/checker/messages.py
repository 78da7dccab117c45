"""Messages: invariant 6. Each is taken once, by a call that was answered; those of one inbox in the
order of their ids. From call to call that holds for an agent's own inbox, until a call without an
answer may have left some to be given again; in a role's, no agent is given what it sent to it
itself, so that an older one may be left for the next.

A call of `take` without an answer may have been given as many messages as it asked for, which
are then never seen: so many of an inbox may be missing at the end, and no more. A dead agent takes
nothing any more, so that its own inbox may keep what is in it. A text that no `send` has is a
message of Octet's own, and is known by its id alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.chaos.checker.violation import Violation, excerpt
from tests.chaos.history import Operation


def check_messages(operations: Sequence[Operation]) -> Iterator[Violation]:
    """`send` has an inbox and a text of its own; `take` an agent, the inboxes that it looked into,
    and [inbox, id, text] of each.
    """
    sent: dict[str, Operation] = {}
    taken: dict[str, Operation] = {}
    takes: dict[str, list[Operation]] = defaultdict(list)
    for op in operations:
        if op.name == "send":
            sent[op.arguments["text"]] = op
        elif op.name == "take":
            for inbox in op.arguments["inboxes"]:
                takes[inbox].append(op)
    given: dict[tuple[str, str], Operation] = {}
    for op in (op for op in operations if op.name == "take" and op.ok):
        for inbox, message_id, text in op.answer["messages"]:
            before = sent.get(text)
            if other := given.get((inbox, message_id)) or (taken.get(text) if before else None):
                yield Violation(6, f"message {text}", "was given out twice", excerpt([other, op]))
            elif before and (
                before.arguments["to"] != inbox or before.invoked > (op.answered or 0)
            ):
                yield Violation(
                    6, f"message {text}", f"was never sent to {inbox}", excerpt([before, op])
                )
            given[inbox, message_id] = taken[text] = op
    yield from _lost(sent, taken, takes)
    for inbox, calls in takes.items():
        yield from _out_of_order(inbox, calls)


def _lost(
    sent: dict[str, Operation], taken: dict[str, Operation], takes: dict[str, list[Operation]]
) -> Iterator[Violation]:
    missing: dict[str, list[Operation]] = defaultdict(list)
    for text, op in sent.items():
        if (
            op.ok
            and text not in taken
            and any(call.arguments.get("last") for call in takes[op.arguments["to"]])
        ):
            missing[op.arguments["to"]].append(op)
    for inbox, lost in missing.items():
        unheard = [call for call in takes[inbox] if call.answered is None]
        if len(lost) > sum(call.arguments["most"] for call in unheard):
            yield Violation(
                6,
                f"inbox {inbox}",
                f"{len(lost)} acknowledged messages were given to no agent",
                excerpt([*lost, *unheard]),
            )


def _out_of_order(inbox: str, calls: Sequence[Operation]) -> Iterator[Violation]:
    """A call that begins after another has been answered is given later messages, unless one that
    was never answered began before.
    """
    unheard = min((op.invoked for op in calls if not op.ok), default=float("inf"))
    answered = sorted((op for op in calls if op.ok), key=lambda op: op.answered or 0)
    newest, last, at = (0, 0), None, 0
    for op in sorted(answered, key=lambda op: op.invoked):
        while at < len(answered) and (answered[at].answered or 0) < op.invoked:
            ids = _ids(inbox, answered[at])
            if ids and max(ids) > newest:
                newest, last = max(ids), answered[at]
            at += 1
        ids = _ids(inbox, op)
        follows = (
            op.arguments["agent"] != inbox or op.invoked > unheard or not ids or ids[0] > newest
        )
        if ids != sorted(ids) or not follows:
            yield Violation(
                6,
                f"inbox {inbox}",
                "gives out an older message after a newer one",
                excerpt([*([last] if last else []), op]),
            )
            return


def _ids(inbox: str, op: Operation) -> list[tuple[int, int]]:
    numbers = [message[1].split("-") for message in op.answer["messages"] if message[0] == inbox]
    return [(int(ms), int(n)) for ms, n in numbers]
