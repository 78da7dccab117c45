"""What every command that touches the store begins with: the project's `Octet`, and who is asking."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from octet.agents import Agent
from octet.api import Octet, connect
from octet.errors import Refused
from octet.identity import current_agent
from octet.tasks import Task


@contextmanager
def opened(wait_s: float = 0.0) -> Iterator[Octet]:
    """The `Octet` of the directory that the command runs in, or that -C names."""
    given = click.get_current_context().find_root().obj or {}
    directory = given.get("directory")
    with connect(Path(directory) if directory else None, url=given.get("redis_url"), wait_s=wait_s) as octet:
        yield octet


def caller(octet: Octet) -> Agent:
    """The agent that this command acts for."""
    return current_agent(octet.agents)


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
        holder = f"{task.holder} holds it" if task.holder else f"it is {task.state}"
        raise Refused(f"task {task_id} is not yours ({agent.id}): {holder}; claim it with `octet task claim {task_id}`")
    return task.token
