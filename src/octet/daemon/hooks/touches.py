"""Which paths agents with worktrees of their own have changed lately, so that the store is asked
for overlaps at an agent's first touch of a path only.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from octet.core.agents.registry import Agent
from octet.daemon.projects.sessions import ProjectKey, ProjectSession

NOTE_EVERY_S = 1800.0
MAX_KEPT = 10_000


class TouchedPaths:
    """When each agent's touch of each path was noted."""

    def __init__(self) -> None:
        self._noted_at: dict[tuple[ProjectKey, str, str], float] = {}

    def fresh(self, project: ProjectSession, agent: Agent, paths: Sequence[str]) -> list[str]:
        """Those of the paths that the agent has not touched lately, now noted."""
        now = time.monotonic()
        found = [
            path
            for path in paths
            if self._noted_at.get((project.key, agent.id, path), -NOTE_EVERY_S) + NOTE_EVERY_S
            <= now
        ]
        if len(self._noted_at) > MAX_KEPT:
            self._noted_at.clear()
        self._noted_at |= {(project.key, agent.id, path): now for path in found}
        return found
