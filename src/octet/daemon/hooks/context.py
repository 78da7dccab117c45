"""What the handlers of events share."""

from __future__ import annotations

from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.usage.transcript_reader import TranscriptReader
from octet.daemon.hooks.agents import SessionAgents
from octet.daemon.hooks.continuations import Continuations
from octet.daemon.hooks.notices import Notices
from octet.daemon.hooks.overwrites import OverwriteDetector
from octet.daemon.hooks.touches import TouchedPaths
from octet.daemon.liveness.fenced_out import FencedOut
from octet.daemon.liveness.heartbeat import Heartbeat
from octet.daemon.liveness.rescuer import LEAVE_S
from octet.daemon.projects.sessions import Projects
from octet.daemon.turns.token_accounting import TokenAccounting
from octet.daemon.turns.wakes import Wakes


class HookContext:
    """One of each for all projects of this machine; every one is thread-safe."""

    def __init__(self, projects: Projects, heartbeat: Heartbeat) -> None:
        self._rescuer = heartbeat.rescuer
        self.agents = SessionAgents(heartbeat)
        self.fenced_out = FencedOut(heartbeat.rescuer)
        self.overwrites = OverwriteDetector()
        self.touches = TouchedPaths()
        self.continuations = Continuations()
        self.notices = Notices()
        self.transcripts = TranscriptReader()
        self.token_accounting = TokenAccounting(projects, self.transcripts)
        self.wakes = Wakes(projects)

    def save_work(self, octet: Octet, agent: Agent) -> None:
        """Save the agent's unfinished work within a hook's time, before its task goes back."""
        self._rescuer.save(octet, agent, LEAVE_S)
