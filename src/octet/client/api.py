"""`octet.connect()`: one project's tasks, agents, locks, events, messages and primitives.

with octet.connect() as project:
    task = project.tasks.add("parse the config", priority=10)
    project.queue("analysis").push("src/app.ts")
    with project.lock("name:deploy", wait_s=60):
        ...
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import redis

from octet.base.errors import NoProject, NotTrusted
from octet.core.agents.election import Election
from octet.core.agents.registry import Agent, Agents
from octet.core.agents.work_states import WorkStates
from octet.core.locks.locks import Locks
from octet.core.locks.overlap import OverlapDetector
from octet.core.messaging.events import Events
from octet.core.messaging.messages import Messages
from octet.core.tasks.tasks import Tasks
from octet.core.usage.cost import Cost
from octet.patterns.runs import Run, Space
from octet.project import trust
from octet.project.repository import Project, find_root, load_project
from octet.store import connection
from octet.store.failures import describe, translate_errors
from octet.store.keys import Keys
from octet.store.scripts import Store

if TYPE_CHECKING:
    from octet.client.lease import Lease


class Octet(Space):
    """One project on one Redis; thread-safe. `project` is None if only its name was given."""

    def __init__(self, client: redis.Redis, name: str, project: Project | None = None) -> None:
        self.name = name
        self.project = project
        super().__init__(Store(client, Keys(name)))
        self.tasks = Tasks(self.store)
        self.agents = Agents(self.store)
        self.election = Election(self.store)
        self.cost = Cost(self.store)
        self.work_states = WorkStates(self.store)
        self.locks = Locks(self.store)
        self.events = Events(self.store)
        self.messages = Messages(self.store)
        self.overlaps = OverlapDetector(self.store)

    def run(self, name: str) -> Run:
        """A run of the project, with primitives of its own that are deleted together."""
        return Run(self.store, name)

    def lock(self, resource: str, *, wait_s: float = 0.0, agent: Agent | None = None) -> Lease:
        """A lock for a block of code, such as `name:deploy`: waited for, renewed while the block
        runs, released at its end.

        Without `agent`, each block registers an agent of its own, so that two threads exclude each
        other and a killed process's lock is soon freed.
        """
        from octet.client.lease import Lease

        return Lease(self, agent, resource, wait_s=wait_s)

    @property
    def store_name(self) -> str:
        """The server's address for people, without its password."""
        return describe(self.store.client)

    def now_ms(self) -> int:
        """The server's time, ms since the epoch."""
        with translate_errors(self.store.client):
            seconds, micros = self.store.client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def close(self) -> None:
        """Close the connections; the server goes on."""
        self.store.client.close()

    def __enter__(self) -> Octet:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def connect(
    root: Path | None = None,
    *,
    url: str | None = None,
    project: str | None = None,
    wait_s: float = 0.0,
) -> Octet:
    """Connect to a project's store; without a URL anywhere, start the embedded server.

    Args:
        root: a directory of the repository; default: the current one.
        url: a Redis URL; default: OCTET_REDIS_URL, then the repository's, then the embedded server.
        project: the project's name; then no repository is needed.
        wait_s: the longest blocking wait that the connection must allow, in seconds.

    Raises:
        NoProject, NotTrusted: the directory's repository does not use Octet, or is not approved on
            this machine.
        StoreUnreachable: the server does not answer.
    """
    if project is not None:
        Keys(project)  # an invalid name is refused before anything is connected or started
        return Octet(
            connection.connect(connection.resolve_url(url, os.environ, None), wait_s=wait_s),
            project,
        )
    found = open_project(root)
    return Octet(connection.connect(store_url(found, url), wait_s=wait_s), found.name, found)


def open_project(start: Path | None = None) -> Project:
    """The project of a directory, approved on this machine.

    Raises:
        NoProject, NotTrusted, ConfigError.
    """
    try:
        directory = start or Path.cwd()
    except OSError as error:
        raise NoProject("the current directory is gone: change into a repository") from error
    root = find_root(directory)
    if root is None:
        raise NoProject(
            f"{directory} is in no repository that uses Octet: run `octet init` at its top"
        )
    project = load_project(root)
    if not trust.check(project).approved:
        raise NotTrusted(
            f"{root} is not approved on this machine: look at .claude/octet.toml, then run "
            "`octet init`"
        )
    return project


def store_url(project: Project, url: str | None = None) -> str | None:
    """The URL of a project's store, None for the embedded server.

    Raises:
        NotTrusted: it is the repository's, and another one was approved.
    """
    chosen = connection.resolve_url(url, os.environ, project.config.redis_url)
    if chosen == project.config.redis_url and (refusal := trust.check(project).store_refusal):
        raise NotTrusted(refusal)
    return chosen
