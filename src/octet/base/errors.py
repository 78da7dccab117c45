"""Every error that Octet raises on purpose, each with the exit code its command ends with.

OctetError
├── Refused                 exit 1: the operation is understood and the answer is no
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
├── UsageError              exit 2: what was asked for makes no sense
│   ├── NotFound
│   ├── ConfigError
│   └── NoProject
└── StoreUnreachable        exit 3
    ├── ServerFailed
    └── StoreSpoiled
"""

from __future__ import annotations


class OctetError(Exception):
    """Root of the tree; `exit_code` is the command line's."""

    exit_code = 1


class Refused(OctetError):
    """The operation is understood and the answer is no."""


class NothingToClaim(Refused):
    """No pending task fits this agent; in `offer_ms` (0: never) one kept for another may."""

    def __init__(self, message: str, *, offer_ms: int = 0) -> None:
        self.offer_ms = offer_ms
        super().__init__(message)


class NotYourTurn(NothingToClaim):
    """A task waits, and so do other agents, for longer than this one."""


class NothingThere(Refused):
    """No item, no value, or not what was waited for before the time was over."""


class Stopped(Refused):
    """A step failed, or as many errors came as stop the work: what follows is not done."""


class CommandFailed(Refused):
    """A command failed; `killed`: by a signal, which says nothing about what it was run for."""

    def __init__(self, message: str, *, killed: bool = False) -> None:
        self.killed = killed
        super().__init__(message)


class LockHeld(Refused):
    """Another agent holds the resource or a lock that covers it (`by`); `waiting` others wait."""

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
        self.resource = resource
        self.holder = holder
        self.scope = scope
        self.task = task
        self.since_ms = since_ms
        self.ttl_ms = ttl_ms
        self.by = by or resource
        self.waiting = waiting
        super().__init__(self._said())

    def _said(self) -> str:
        work = f" for task {self.task}" if self.task else ""
        return f"{self.resource} is held by {self.holder}{work}" + (
            f", who has {self.by}" if self.by != self.resource else ""
        )


class LockAwaited(LockHeld):
    """The resource is free, but another agent (`holder`, since `since_ms`) has waited longer."""

    def _said(self) -> str:
        return f"{self.resource} goes to {self.holder} first, who has waited longer"


class Deadlock(Refused):
    """The wait would be for oneself; `chain` says for what and whom: (resource, agent), …."""

    def __init__(self, agent: str, chain: tuple[tuple[str, str], ...]) -> None:
        self.chain = chain
        links = ", who waits for ".join(f"{resource} of {holder}" for resource, holder in chain)
        super().__init__(
            f"waiting would never end: {agent} would wait for {links}. Release what you hold "
            "of it and do something else first"
        )


class StaleToken(Refused):
    """The claim or lock has passed on: the fencing token shown is not the current one."""


class VersionConflict(Refused):
    """The value has been changed, or deleted (version "0"), since it was read; `version` is its
    version now.
    """

    def __init__(self, message: str, version: str) -> None:
        self.version = version
        super().__init__(message)


class WorkMoved(Refused):
    """The verdict is about another commit than the one that the task is at now (`commit`)."""

    def __init__(self, task: str, commit: str) -> None:
        self.task = task
        self.commit = commit
        super().__init__(
            f"task {task} is at commit {commit[:12]} now, which you have not judged: look at "
            "that one"
        )


class AgentGone(Refused):
    """The agent was declared dead and its work given back; register again."""


class NotLeading(Refused):
    """An orchestrator wrote that does not lead: it is on standby, or was replaced; `leader` ("":
    none) has led for `for_ms`.
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
    """What was asked for makes no sense as asked."""

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
    """A key of the project holds what Octet did not put there; nothing was done, and the message
    names the key where it can.
    """
