"""Counts how often in a row hooks have let a turn go on.

The client ends a turn all the same after eight times without a tool call between them.
"""

from __future__ import annotations

from octet.core.agents.registry import Agent
from octet.daemon.projects.sessions import ProjectKey, ProjectSession

MAX_IN_A_ROW = 7


class Continuations:
    """The counts of all agents of this machine. An agent's id is unique only within its project."""

    def __init__(self) -> None:
        self._counts: dict[tuple[ProjectKey, str], int] = {}

    def may_go_on(self, project: ProjectSession, agent: Agent, *, continued: bool) -> bool:
        """Whether a hook may let the turn go on once more; `continued`: one did so before."""
        if not continued:
            self.reset(project, agent)
        return self._counts.get((project.key, agent.id), 0) < MAX_IN_A_ROW

    def count(self, project: ProjectSession, agent: Agent) -> None:
        """A hook lets the turn go on."""
        key = (project.key, agent.id)
        self._counts[key] = self._counts.get(key, 0) + 1

    def reset(self, project: ProjectSession, agent: Agent) -> None:
        """The turn has ended, or a tool has run: the client counts anew."""
        self._counts.pop((project.key, agent.id), None)
