"""The agent that a command acts for, and the claims that it holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from octet.base.errors import OctetError, Refused
from octet.base.vocabulary import ROLES
from octet.client.api import Octet
from octet.core.agents.identity import current_agent, this_process
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task


def caller(octet: Octet) -> Agent:
    """The agent that this command acts for."""
    return current_agent(octet.agents)


def by_an_agent() -> bool:
    """Whether a Claude Code session, or a script that named itself an agent, started this."""
    return bool(os.environ.get("CLAUDE_PID") or os.environ.get("OCTET_AGENT"))


@contextmanager
def own_process(octet: Octet, role: str) -> Iterator[Callable[[], Agent]]:
    """A function that registers the agent which does a role's work in this command: the calling
    session if that is its role, else this process.

    This process is then watched like a session's: when it is killed, its claims go back at once.
    Its agent leaves at the end.

    Raises:
        Refused: the caller is an agent in another role.
    """
    asking = caller(octet) if by_an_agent() else None
    if asking and asking.role in ROLES and asking.role != role:
        raise Refused(f"{asking.id} is no {role}: ask one with `octet msg send {role} TEXT`")
    if asking and asking.role == role and asking.process:
        yield lambda: _still(octet, asking)
        return
    registered: Agent | None = None  # until the first registration has succeeded

    def register() -> Agent:
        nonlocal registered
        registered = octet.agents.register(this_process(role)).agent
        return registered

    try:
        yield register
    finally:
        if registered:
            with suppress(OctetError):
                octet.agents.leave(registered)


def _still(octet: Octet, asking: Agent) -> Agent:
    """The agent that began this command, as it is registered now.

    Raises:
        Refused: its session has ended, and another agent is found in its place.
    """
    now = caller(octet)
    if now.process != asking.process:
        raise Refused(f"{asking.id}'s session has ended, and with it this command")
    return now


def own_token(octet: Octet, task_id: str, given: str | None) -> str:
    """The token to show for a task: the one given, else that of the caller's own claim.

    Raises:
        Refused: the caller does not hold the task.
    """
    if given:
        return given
    task: Task = octet.tasks.get(task_id)
    agent = caller(octet)
    if task.holder != agent.id:
        if task.holder:
            raise Refused(
                f"task {task_id} is not yours ({agent.id}): {task.holder} holds it; ask with "
                f"`octet msg send {task.holder} TEXT`"
            )
        raise Refused(
            f"task {task_id} is not yours ({agent.id}): it is {task.state}; claim what waits "
            "with `octet task claim`"
        )
    return task.token
