"""What the store can answer when a call's needs are asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Granted:
    """All resources are this agent's now."""


@dataclass(frozen=True)
class Held:
    """Another agent holds one of the resources, and none was taken."""

    # The resource that was asked for.
    resource: str
    # The agent that holds it or, where `awaited`, the first that waits for it.
    holder: str
    # The holder's task and its title, "" for none. Any agent may have written the title.
    task: str = ""
    title: str = ""
    # How long the holder has had it or, where `awaited`, has waited.
    age_s: float = 0.0
    # What ends the lock: "turn" or "own" (its release); see `core.locks`.
    scope: str = ""
    # The lock that covers the resource, where that is another one.
    by: str = ""
    # How long it stays without a renewal; 0: as long as its holder lives.
    lapses_s: float = 0.0
    # How many other agents wait for it.
    waiting: int = 0
    # It is free, but another agent has waited longer.
    awaited: bool = False


@dataclass(frozen=True)
class Reserved:
    """The resource is a protected branch, which the agent's role does not move. None was taken."""

    resource: str
    role: str


@dataclass(frozen=True)
class Gone:
    """The agent had been declared dead, and its claims and locks released."""


@dataclass(frozen=True)
class StoreDown:
    """The store cannot be asked; `why` is one line."""

    why: str


StoreAnswer = Granted | Held | Reserved | Gone | StoreDown
