"""One hook's event on its way through the handlers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from octet.client.api import Octet
from octet.daemon.projects.sessions import ProjectSession
from octet.guard.payload import Event

EventT = TypeVar("EventT", bound=Event, covariant=True)


@dataclass(frozen=True)
class HookCall(Generic[EventT]):
    """An event, the project that it is judged by, and the client that sent it."""

    project: ProjectSession
    event: EventT
    pid: int = 0  # the client's process, 0 when unknown
    source: str = "plugin"  # or "dropin"

    @property
    def octet(self) -> Octet:
        """The project's store.

        Raises:
            StoreUnreachable: it does not answer.
        """
        return self.project.connected()

    @property
    def event_name(self) -> str:
        return type(self.event).__name__

    @property
    def session_key(self) -> str:
        """Names the session, or the sub-agent in it."""
        event = self.event
        return f"{event.session_id}#{event.agent_id}" if event.agent_id else event.session_id

    def of_session(self) -> HookCall[Event]:
        """The same event, as if the session itself had sent it, and not a sub-agent in it."""
        return HookCall(
            self.project, replace(self.event, agent_id="", agent_type=""), self.pid, self.source
        )
