"""Detects agents that change the same path in worktrees of their own, and tells both of the
conflict while it is still cheap.

overlaps.touch(agent, ["src/a.py"])   # [Overlap("src/a.py", "developer-2", "T7", "octet/T7")],
                                      # once for each pair of agents and path
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from octet.core.agents.registry import Agent
from octet.store.scripts import Reply, Store

# How long work on a task may lie unfinished; renewed at each touch.
MEMORY_MS = 7 * 24 * 3600 * 1000


class Overlap(NamedTuple):
    """Another agent that changes the same path; `task` and `branch` are "" where it has none."""

    path: str
    agent: str
    task: str
    branch: str


class OverlapDetector:
    """The touched paths of one project."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def touch(self, agent: Agent, paths: Sequence[str], branch: str = "") -> Sequence[Overlap]:
        """Note that the agent changes `paths`, relative to its checkout; returns the overlaps that
        are new to it. The other agents get a message.

        Raises:
            StoreUnreachable: the server does not answer.
        """
        reply = self._store.run(
            "lock/touch_path",
            agent=agent.id,
            incarnation=agent.incarnation,
            branch=branch or agent.branch,
            ttl_ms=MEMORY_MS,
            paths=paths,
        )
        if reply[0] == Reply.GONE:
            return ()
        fields = [str(value) for value in reply[1:]]
        return [Overlap(*fields[at : at + 4]) for at in range(0, len(fields), 4)]
