"""Every error that Octet raises on purpose, with the exit code of the command that raised it.

OctetError
├── Refused                 exit 1: the request is valid and the answer is no
│   ├── NothingToClaim
│   │   └── NotYourTurn
│   ├── NothingThere
│   ├── Stopped
│   ├── CommandFailed
│   ├── LockHeld
│   │   └── LockAwaited
│   ├── Deadlock
│   ├── StaleToken
│   ├── VersionConflict
│   ├── WorkMoved
│   ├── AgentGone
│   ├── NotLeading
│   ├── IllegalTransition
│   └── NotTrusted
├── UsageError              exit 2: the request itself is wrong
│   ├── NotFound
│   ├── ConfigError
│   └── NoProject
└── StoreUnreachable        exit 3
    ├── ServerFailed
    └── StoreSpoiled
"""

from __future__ import annotations


class OctetError(Exception):
    """Root of the tree; a command that raises it ends with `exit_code`."""

    exit_code = 1


class Refused(OctetError):
    """The request is valid and the answer is no."""


class NothingToClaim(Refused):
    """No pending task fits this agent; one kept for another agent may in `offer_ms` (0: never)."""

    def __init__(self, message: str, *, offer_ms: int = 0) -> None:
        self.offer_ms = offer_ms
        super().__init__(message)


class NotYourTurn(NothingToClaim):
    """A task waits, but other agents have waited for one longer than this agent."""


class NothingThere(Refused):
    """There is no item or value, or the awaited one did not come in time."""


class Stopped(Refused):
    """A step failed, or the error limit was reached: the steps after it are not done."""


class CommandFailed(Refused):
    """A command failed; `killed`: by a signal, which says nothing about the item it ran for."""

    def __init__(self, message: str, *, killed: bool = False) -> None:
        self.killed = killed
        super().__init__(message)


class LockHeld(Refused):
    """Another agent holds the resource, or a lock that covers it."""

    def __init__(
        self,
        resource: str,
        holder: str,
        *,
        scope: str = "",
        task: str = "",
        since_ms: int = 0,
        ttl_ms: int = 0,
        by: str = "",
        waiting: int = 0,
    ) -> None:
        self.resource = resource  # as it was asked for
        self.holder = holder  # the agent that has it
        self.scope = scope  # when it ends by itself: turn, task, or "" for neither
        self.task = task  # the holder's task, "" without one
        self.since_ms = since_ms  # when the holder got it, server time
        self.ttl_ms = ttl_ms  # the time left of its lease
        self.by = by or resource  # the lock that covers the resource
        self.waiting = waiting  # the number of other agents that wait for it
        super().__init__(self._said())

    def _said(self) -> str:
        work = f" for task {self.task}" if self.task else ""
        return f"{self.resource} is held by {self.holder}{work}" + (
            f", who has {self.by}" if self.by != self.resource else ""
        )


class LockAwaited(LockHeld):
    """The resource is free, but `holder` has waited longer for it (since `since_ms`)."""

    def _said(self) -> str:
        return f"{self.resource} goes to {self.holder} first, who has waited longer"


class Deadlock(Refused):
    """Waiting would close a cycle; `chain` lists its links, each (resource, agent)."""

    def __init__(self, agent: str, chain: tuple[tuple[str, str], ...]) -> None:
        self.chain = chain
        links = ", who waits for ".join(f"{resource} of {holder}" for resource, holder in chain)
        super().__init__(
            f"waiting would never end: {agent} would wait for {links}. Release what you hold "
            "of it and do something else first"
        )


class StaleToken(Refused):
    """The fencing token shown is not the current one: the claim or lock has a new holder."""


class VersionConflict(Refused):
    """The value has changed since it was read; `version` is its version now, "0" when deleted."""

    def __init__(self, message: str, version: str) -> None:
        self.version = version
        super().__init__(message)


class WorkMoved(Refused):
    """The verdict is about another commit than the task's current one, `commit`."""

    def __init__(self, task: str, commit: str) -> None:
        self.task = task
        self.commit = commit
        super().__init__(
            f"task {task} is at commit {commit[:12]} now, which you have not judged: look at "
            "that one"
        )


class AgentGone(Refused):
    """The agent was declared dead and its work released; it has to register again."""


class NotLeading(Refused):
    """An orchestrator that is on standby, or was replaced, tried to write.

    `leader` ("": none) has led for `for_ms`.
    """

    def __init__(self, message: str, *, leader: str, epoch: str, for_ms: int) -> None:
        self.leader = leader
        self.epoch = epoch
        self.for_ms = for_ms
        super().__init__(message)


class IllegalTransition(Refused):
    """The task's state does not allow this step."""

    def __init__(self, task: str, state: str, step: str, allowed: str) -> None:
        self.task = task
        self.state = state
        super().__init__(f"task {task} is {state}: cannot {step} it (allowed from {allowed})")


class NotTrusted(Refused):
    """This machine has not approved the repository's settings; `octet init` does."""


class UsageError(OctetError):
    """The request itself is wrong."""

    exit_code = 2


class NotFound(UsageError):
    """No such task, agent or lock."""


class ConfigError(UsageError):
    """A setting cannot be read; the message names file and field."""


class NoProject(UsageError):
    """The directory is in no repository that uses Octet; `octet init` opts one in."""


class StoreUnreachable(OctetError):
    """The Redis server does not answer; the message names it and says what to do."""

    exit_code = 3


class ServerFailed(StoreUnreachable):
    """The embedded server could not be found or started."""


class StoreSpoiled(StoreUnreachable):
    """A key of the project holds foreign data; nothing was done. The message names it if known."""
