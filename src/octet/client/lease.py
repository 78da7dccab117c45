"""A lock for a block of code: waited for, renewed while the block runs, and checked for loss.

with octet.lock("name:deploy", wait_s=60) as lease:
    ...                      # for any time
    lease.check()            # immediately before the step that needs the lock
"""

from __future__ import annotations

import os
import threading
import uuid
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from octet.base.errors import LockHeld, OctetError, Refused
from octet.base.process import identify
from octet.core.agents.registry import LEASE_MS, Agent, Registration

if TYPE_CHECKING:
    from octet.client.api import Octet

# Three renewals may fail before a lock or an agent's lease runs out.
RENEW_S = LEASE_MS / 1000 / 4


class LeaseLost(Refused):
    """The lock was lost during the work; the step that needs it must not be taken."""


class Lease:
    """One lock, waited for at most `wait_s` seconds, and renewed in a thread together with its
    agent's heartbeat.

    Without an agent it has an agent of its own, so that the lock is not re-entrant.

    Raises (on entering):
        LockHeld: another agent has it, or has waited longer for it.
        Deadlock: waiting for it would close a wait cycle.
        AgentGone: the agent was declared dead.
    """

    def __init__(
        self, octet: Octet, agent: Agent | None, resource: str, *, wait_s: float = 0.0
    ) -> None:
        self._octet = octet
        self._given = agent
        self._resource = resource
        self._wait_s = wait_s
        self._token = ""

    @property
    def token(self) -> str:
        """The lock's fencing token."""
        return self._token

    def __enter__(self) -> Lease:
        self._token = ""
        self._agent = self._given or self._own_agent()
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._renew, name=f"lease {self._resource}", daemon=True
        )
        self._thread.start()
        try:
            self._token = self._acquire()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        if self._token:
            with suppress(OctetError):
                self._octet.locks.release(self._resource, self._token)
        if not self._given:
            with suppress(OctetError):
                self._octet.agents.leave(self._agent)

    def check(self) -> None:
        """Check that the lock was never lost.

        Raises:
            LeaseLost: it was.
            AgentGone: the agent was declared dead.
            StoreUnreachable: the server does not answer.
        """
        try:
            token = self._take()
        except LockHeld as held:
            raise LeaseLost(
                f"{self._resource} was lost to {held.holder}: nothing was moved"
            ) from held
        if token != self._token:
            self._token, lost = token, self._token
            raise LeaseLost(
                f"{self._resource} was lost for a while (token {lost}, {token} now): nothing "
                "was moved"
            )

    def _own_agent(self) -> Agent:
        process = identify(os.getpid())
        assert process is not None, "this process lives"
        wanted = Registration(
            role="process",
            process=f"{process}#{uuid.uuid4().hex}",
            host=process.host,
            pid=process.pid,
        )
        return self._octet.agents.register(wanted).agent

    def _acquire(self) -> str:
        tokens = self._octet.locks.acquire_when_free(self._agent, [self._resource], self._wait_s)
        return tokens[self._resource]

    def _take(self) -> str:
        return self._octet.locks.acquire(self._agent, [self._resource])[self._resource]

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_S):
            with suppress(OctetError):  # `check` reports a lost lock
                self._octet.agents.heartbeat([self._agent])
                if self._token and self._octet.locks.get(self._resource).token == self._token:
                    self._take()
