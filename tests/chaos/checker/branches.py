"""Protected branches: invariant 7. The moves of a branch form one chain, one after the other, each
under a greater token.

A move is recorded as `move` with branch, old, new and token. Each old value names the move before,
so that the order is known; what is left to check is that two never start from the same commit, that
no move has an older token, and the order of time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.chaos.checker.violation import Violation, excerpt
from tests.chaos.history import Operation


def check_branches(operations: Sequence[Operation]) -> Iterator[Violation]:
    """Every branch on its own; a move without an answer counts if a later one started from it."""
    branches: dict[str, list[Operation]] = defaultdict(list)
    for op in operations:
        if op.name == "move" and (op.ok or op.answered is None):
            branches[op.arguments["branch"]].append(op)
    for branch, moves in branches.items():
        starts = {op.arguments["old"] for op in moves}
        yield from _check_branch(
            branch, [op for op in moves if op.ok or op.arguments["new"] in starts]
        )


def _check_branch(branch: str, moves: Sequence[Operation]) -> Iterator[Violation]:
    from_commit: dict[str, Operation] = {}
    for op in moves:
        other = from_commit.setdefault(op.arguments["old"], op)
        if other is not op:
            yield Violation(
                7,
                f"branch {branch}",
                f"was moved twice from {op.arguments['old']}",
                excerpt([other, op]),
            )
    news = {op.arguments["new"] for op in moves}
    firsts = [op for op in moves if op.arguments["old"] not in news]
    if len(firsts) > 1:
        yield Violation(
            7, f"branch {branch}", "was moved from where no move had brought it", excerpt(firsts)
        )
    for before in moves:
        after = from_commit.get(before.arguments["new"])
        if after and int(after.arguments["token"]) < int(before.arguments["token"]):
            yield Violation(
                7,
                f"branch {branch}",
                "was moved under a token older than the last",
                excerpt([before, after]),
            )
        if after and after.answered is not None and after.answered < before.invoked:
            yield Violation(
                7,
                f"branch {branch}",
                "was moved from a commit before it was there",
                excerpt([before, after]),
            )
