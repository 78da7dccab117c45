"""A lock that is waited for, kept for as long as a piece of work takes, and that says when it was
lost after all.

with octet.lock("name:deploy", wait_s=60) as lease:
    ...                      # however long
    lease.check()            # immediately before the step that needs it
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
from octet.base.threads import in_thread
from octet.core.agents.registry import LEASE_MS, Agent, Registration

if TYPE_CHECKING:
    from octet.client.api import Octet

# Three renewals may fail before a lock or an agent's lease runs out.
RENEW_S = LEASE_MS / 1000 / 4


class LeaseLost(Refused):
    """The lock passed on to somebody else while the work went on; what needs it must not be done."""


class Lease:
    """One lock, renewed in a thread together with its agent's heartbeat; waited for at most
    `wait_s` seconds. `async with` does the same.

    Without an agent it has one of its own, which holds nothing else: the same lock within the block
    is held by somebody else.

    Raises (on entering):
        LockHeld: another agent has it, or waits for it.
        Deadlock: who has it waits for this agent.
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
        """The fencing token of the lock."""
        return self._token

    def __enter__(self) -> Lease:
        return self._enter(None)

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

    async def __aenter__(self) -> Lease:
        return await in_thread(self._enter, undo=lambda lease: lease.__exit__(None, None, None))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await in_thread(lambda _: self.__exit__(kind, error, trace))

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
            raise LeaseLost(
                f"{self._resource} has passed on to {held.holder} meanwhile: nothing was moved"
            ) from held
        if token != self._token:
            self._token, lost = token, self._token
            raise LeaseLost(
                f"{self._resource} was lost for a while (token {lost}, {token} now): nothing "
                "was moved"
            )

    def _enter(self, stop: threading.Event | None) -> Lease:
        self._token = ""
        self._agent = self._given or self._own_agent()
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._renew, name=f"lease {self._resource}", daemon=True
        )
        self._thread.start()
        try:
            self._token = self._acquire(stop)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

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

    def _acquire(self, stop: threading.Event | None) -> str:
        return self._octet.locks.acquire_when_free(
            self._agent, [self._resource], self._wait_s, stop=stop
        )[self._resource]

    def _take(self) -> str:
        return self._octet.locks.acquire(self._agent, [self._resource])[self._resource]

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_S):
            with suppress(OctetError):  # `check` tells
                self._octet.agents.heartbeat([self._agent])
                if self._token and self._octet.locks.get(self._resource).token == self._token:
                    self._take()
