"""Work queues: each item (its value is pushed once) an object of its own: invariants 1 and 2 for
everybody's own use.

An item is given again only when its lease has run out, by the server's clock: the end that its
worker was told, less what the two clocks of the machine differ by. A `reserve` without an answer
may have been given any item; it shows in the number of deliveries that the next worker is told, and
there may be as many as there were such calls.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from tests.chaos.checker.objects import check_object
from tests.chaos.checker.violation import Violation, excerpt
from tests.chaos.history import Operation

CLOCK_NS = 5_000_000  # what the readings of the two clocks may differ by


class Item(NamedTuple):
    """`phase` is "" (not there), ready, leased or done; `until` is the lease's end (ns)."""

    phase: str = ""
    token: int = 0
    until: int = 0
    deliveries: int = 0


class ItemModel:
    """One item. `lost` are the invocations of all calls of `reserve` on its queue that had no
    answer, in order.
    """

    start = Item()

    def __init__(self, lost: Sequence[int]) -> None:
        self.lost = lost

    def step(self, item: Item, op: Operation) -> Item | None:
        match op.name:
            case "push":
                return Item("ready") if not item.phase else None
            case "reserve":
                return self._reserve(item, op)
            case "drained":
                return item if item.phase in ("", "done") else None
        return _settle(item, op)

    def likeness(self, op: Operation) -> Hashable:
        return (op.name, op.arguments.get("token"))

    def _reserve(self, item: Item, op: Operation) -> Item | None:
        token, deliveries = int(op.answer["token"]), op.answer["deliveries"]
        unheard = deliveries - item.deliveries - 1
        free = item.phase == "ready" or (
            item.phase == "leased" and _end(op) + CLOCK_NS >= item.until
        )
        if not free or token <= item.token or not 0 <= unheard <= bisect_left(self.lost, _end(op)):
            return None
        return Item("leased", token, op.answer["until"], deliveries)


def _settle(item: Item, op: Operation) -> Item | None:
    in_force = item.phase == "leased" and item.token == int(op.arguments["token"])
    if op.outcome == "stale":
        # Between two deliveries that were heard of there may have been one that was not.
        return item if not in_force or item.until <= _end(op) + CLOCK_NS else None
    if not in_force:
        return None
    match op.name:
        case "ack":
            return Item("done", item.token)
        case "nack":
            return Item("ready", item.token, 0, item.deliveries)
        case "extend":
            return item._replace(
                until=op.answer["until"] if op.answered is not None else item.until
            )
    raise AssertionError(op.name)


def _end(op: Operation) -> int:
    assert op.answered is not None
    return op.answered


def check_items(operations: Sequence[Operation]) -> Iterator[Violation]:
    """Every item's history on its own; and what is given out was put in."""
    items: dict[tuple[str, str], list[Operation]] = defaultdict(list)
    lost: dict[str, list[int]] = defaultdict(list)
    drained: dict[str, Operation] = {}
    for op in operations:
        queue = op.arguments.get("queue", "")
        if op.name == "reserve" and op.answered is None:
            lost[queue].append(op.invoked)
        elif op.name == "reserve" and op.ok:
            items[queue, op.answer["value"]].append(op)
        elif op.name == "push":
            for value in op.arguments["values"]:
                items[queue, value].append(op)
        elif op.name in ("ack", "nack", "extend"):
            items[queue, op.arguments["value"]].append(op)
        elif op.name == "drained" and op.ok:
            drained[queue] = op
    for (queue, value), own in items.items():
        if not any(op.name == "push" for op in own):
            yield Violation(
                2, f"item {value} of queue {queue}", "was given out and never pushed", excerpt(own)
            )
            continue
        end = [drained[queue]] if queue in drained else []
        model = ItemModel(sorted(lost[queue]))
        yield from check_object(
            f"item {value} of queue {queue}",
            [*own, *end],
            model,
            lambda op: 2 if op.name == "drained" else 1,
        )
