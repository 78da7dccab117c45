"""An approved repository, its project on a real server, and processes to be agents."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.daemon.client import Client, opted_in

from octet.client.api import Octet
from octet.daemon.hooks.service import HookService
from octet.daemon.liveness.heartbeat import Heartbeat
from octet.daemon.projects.sessions import Projects


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An approved repository of project `shop`."""
    return opted_in(tmp_path, "shop")


@pytest.fixture
def projects() -> Iterator[Projects]:
    projects = Projects()
    yield projects
    for project in projects.all():
        if project.octet:
            project.octet.close()


@pytest.fixture
def service(projects: Projects) -> Iterator[HookService]:
    """What answers hooks, in this process; none of its threads outlives the test."""
    heartbeat = Heartbeat(projects)
    made = HookService(projects, heartbeat)
    yield made
    made.context.token_accounting.stop()
    heartbeat._watcher.stop()
    heartbeat.rescuer.stop()


@pytest.fixture
def octet(projects: Projects, repository: Path, redis_url: str) -> Octet:
    return projects.find(str(repository), redis_url).connected()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def clients(service: HookService, repository: Path, redis_url: str) -> Iterator[list[Client]]:
    """Three sessions, each a process of its own."""
    processes = [subprocess.Popen(["sleep", "60"]) for _ in range(3)]
    yield [
        Client(service, repository, redis_url, process.pid, f"s{n}")
        for n, process in enumerate(processes)
    ]
    for process in processes:
        process.kill()
        process.wait()
