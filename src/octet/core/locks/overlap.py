"""Who changes which path in a worktree of its own: agents that will meet in a merge are told while
it is still cheap.

overlaps.touch(agent, ["src/a.py"])   # [Overlap("src/a.py", "developer-2", "T7", "octet/T7")],
                                      # once for each pair of agents and path
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from octet.core.agents.registry import Agent
from octet.store.scripts import Reply, Store

# As long as work on a task may lie unfinished; renewed at each touch.
KEPT_MS = 7 * 24 * 3600 * 1000


class Overlap(NamedTuple):
    """Another agent that changes the path too; `task` and `branch` are "" where it has none."""

    path: str
    agent: str
    task: str
    branch: str


class OverlapDetector:
    """The touched paths of one project."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def touch(self, agent: Agent, paths: Sequence[str], branch: str = "") -> Sequence[Overlap]:
        """Note that the agent changes `paths`, relative to its checkout; whom it was not told of
        before, and they have a message.

        Raises:
            StoreUnreachable: the server does not answer.
        """
        reply = self._store.run(
            "lock/touch_path",
            agent=agent.id,
            incarnation=agent.incarnation,
            branch=branch or agent.branch,
            ttl_ms=KEPT_MS,
            paths=paths,
        )
        if reply[0] == Reply.GONE:
            return ()
        fields = [str(value) for value in reply[1:]]
        return [Overlap(*fields[at : at + 4]) for at in range(0, len(fields), 4)]
