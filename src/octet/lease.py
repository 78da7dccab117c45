"""A lock that is kept for as long as a piece of work takes, and that says when it was lost after all.

with Lease(octet, agent, "repository:main") as lease:
    ...                      # however long
    lease.check()            # immediately before the step that needs it
"""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType

from octet.agents import LEASE_MS, Agent
from octet.api import Octet
from octet.errors import AgentGone, LockHeld, NotFound, OctetError, Refused, StaleToken

# Three renewals may fail before a lock or an agent's lease runs out.
RENEW_S = LEASE_MS / 1000 / 4


class LeaseLost(Refused):
    """The lock passed on to somebody else while the work went on; what needs it must not be done."""


class Lease:
    """One lock, renewed in a thread together with its agent's heartbeat.

    Raises (on entering):
        LockHeld: another agent has it.
        AgentGone: the agent was declared dead.
    """

    def __init__(self, octet: Octet, agent: Agent, resource: str) -> None:
        self._octet = octet
        self._agent = agent
        self._resource = resource
        self._token = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease {resource}", daemon=True)

    def __enter__(self) -> Lease:
        self._token = self._take()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(NotFound, StaleToken, OctetError):
            self._octet.locks.release(self._resource, self._token)

    @property
    def token(self) -> str:
        """The lock's fencing token."""
        return self._token

    def check(self) -> None:
        """Whether the lock is still the same one.

        Raises:
            LeaseLost: it is not.
            AgentGone: the agent was declared dead.
            StoreUnreachable: nobody can tell.
        """
        try:
            token = self._take()
        except LockHeld as held:
            raise LeaseLost(f"{self._resource} has passed on to {held.holder} meanwhile: nothing was moved") from held
        if token != self._token:
            self._token, lost = token, self._token
            raise LeaseLost(f"{self._resource} was lost for a while (token {lost}, {token} now): nothing was moved")

    def _take(self) -> str:
        return self._octet.locks.acquire(self._agent, [self._resource])[self._resource]

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_S):
            with suppress(LockHeld, AgentGone, OctetError):  # `check` tells
                self._octet.agents.beat([self._agent])
                if self._octet.locks.get(self._resource).token == self._token:
                    self._take()
