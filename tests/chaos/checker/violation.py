"""What contradicts an invariant, with the few lines of the history that show it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.chaos.history import Operation

MOST_LINES = 12
MOST_TEXT = 160


@dataclass(frozen=True)
class Violation:
    """`invariant` is its number in the design, `subject` the task, resource or item, `excerpt` the
    operations that show it.
    """

    invariant: int
    subject: str
    what: str
    excerpt: tuple[Operation, ...] = ()

    def __str__(self) -> str:
        """A line, and one for each operation below it: when it was invoked and answered (ms since
        the first), whose, what, outcome.
        """
        head = f"invariant {self.invariant}: {self.subject}: {self.what}"
        if not self.excerpt:
            return head
        start = min(op.invoked for op in self.excerpt)
        return "\n".join([head, *(f"    {line(op, start)}" for op in self.excerpt)])


def line(op: Operation, start: int) -> str:
    """One operation for people, its times in ms after `start` (ns)."""
    answered = "       ?" if op.answered is None else f"{(op.answered - start) / 1e6:8.2f}"
    words = " ".join(f"{name}={value}" for name, value in op.arguments.items())
    said = (
        " ".join(
            str(value) if name == "outcome" else f"{name}={value}"
            for name, value in op.answer.items()
        )
        or "?"
    )
    return (
        f"{(op.invoked - start) / 1e6:8.2f} ..{answered}  {op.worker:<8} {op.name} {words} -> "
        f"{said}"
    )[:MOST_TEXT]


def excerpt(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """The last few of them, in the order in which they were invoked."""
    return tuple(sorted(operations, key=lambda op: op.invoked)[-MOST_LINES:])
