"""Checks a history of operations (`tests.chaos.history`) against the invariants of the design. It
knows nothing of how Octet works.

    check(read(paths))         # what contradicts them, each with the operations that show it

| object | method | invariant |
|---|---|---|
| each task, each item of a queue | linearizability against a model (`linear`) | 1, 2 |
| the locks below one top directory | the same | 3 |
| each field of a state, each counter | the same | 2 |
| tokens | order of a counter whose results are known (`tokens`) | 1 |
| agents | none is dead before it may be, none of the dead is left (`lives`) | 4 |
| inboxes | exactly once, in order (`messages`) | 6 |
| protected branches | each move begins where the one before ended (`branches`) | 7 |

The vocabulary of the operations is what `tests.chaos.torture.acts` records; other recorders use the
same words.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.checker.branches import check_branches
from tests.chaos.checker.items import check_items
from tests.chaos.checker.lives import check_lives, read_lives
from tests.chaos.checker.locks import check_locks
from tests.chaos.checker.messages import check_messages
from tests.chaos.checker.tasks import check_tasks
from tests.chaos.checker.tokens import check_tokens
from tests.chaos.checker.values import check_values
from tests.chaos.checker.violation import Violation
from tests.chaos.history import Operation

__all__ = ["Violation", "check"]


def check(operations: Sequence[Operation]) -> list[Violation]:
    """All that contradicts the invariants; those of one process must be in their order."""
    lives = read_lives(operations)
    return [
        *check_lives(operations, lives),
        *check_tasks(operations, lives),
        *check_locks(operations, lives),
        *check_items(operations),
        *check_values(operations),
        *check_messages(operations),
        *check_tokens(operations),
        *check_branches(operations),
        *_unexpected(operations),
        *(
            Violation(2, "store", text)
            for op in operations
            if op.name == "compared"
            for text in op.answer.get("found", [])
        ),
    ]


def _unexpected(operations: Sequence[Operation]) -> list[Violation]:
    """An operation ended in a way that nothing promises: an error that is none of Octet's, or a
    refusal without a reason for it.
    """
    found = [op for op in operations if op.outcome.startswith("error")]
    return [Violation(8, op.name, f"ended with {op.outcome[6:]}", (op,)) for op in found[:20]]
