"""What every command that touches the store begins with: the project's `Octet`, and who is asking."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from octet.base.errors import NoProject, OctetError, Refused, UsageError
from octet.client.api import Octet, connect, open_project, store_url
from octet.core.agents.identity import current_agent, this_process
from octet.core.agents.registry import ROLES, Agent
from octet.core.tasks.tasks import Task
from octet.project.repository import Project
from octet.store.connection import URL_VARIABLE, resolve_url


@contextmanager
def opened(wait_s: float = 0.0) -> Iterator[Octet]:
    """The `Octet` of the directory that the command runs in, or that -C names."""
    url = _given().get("redis_url")
    with connect(start_directory(), url=url, wait_s=wait_s) as octet:
        if octet.project and os.environ.get("OCTET_DAEMON") != "never":
            _have_served(octet.project.root, url or os.environ.get(URL_VARIABLE, ""))
        yield octet


def _have_served(root: Path, url: str) -> None:
    """Without a daemon a command works all the same; but nobody sweeps up after the dead until one
    runs.
    """
    from octet.daemon.process import control

    try:
        control.serve(root, url)
    except OctetError as error:
        click.echo(f"octet: {error}", err=True)


def start_directory() -> Path | None:
    """The directory that -C names; None for the current one."""
    directory = _given().get("directory")
    return Path(directory) if directory else None


def store_of_directory() -> str | None:
    """The URL that is set for this directory; None for the embedded server. Needs no repository."""
    explicit = _given().get("redis_url")
    try:
        return store_url(open_project(start_directory()), explicit)
    except NoProject:
        return resolve_url(explicit, os.environ, None)


def given_url() -> str:
    """The store's URL that --redis names; "" for none."""
    return _given().get("redis_url") or ""


def _given() -> dict[str, str | None]:
    """The root command's own options."""
    return click.get_current_context().find_root().obj or {}


def caller(octet: Octet) -> Agent:
    """The agent that this command acts for."""
    return current_agent(octet.agents)


def project_of(octet: Octet) -> Project:
    """The project, which must be a git repository.

    Raises:
        UsageError: it is not.
    """
    if octet.project is None or octet.project.common_dir is None:
        raise UsageError("this needs a git repository: run `git init` and make a first commit")
    return octet.project


def by_an_agent() -> bool:
    """Whether this command was started by a Claude Code session or a script that named itself an
    agent.
    """
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
        Refused: its session has ended; who is found in its place is somebody else.
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
