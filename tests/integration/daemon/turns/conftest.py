"""Two sessions with a daemon in this process."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.daemon.client import Client
from tests.integration.daemon.turns.crew import (
    DEVELOPER,
)
from tests.support.redis_fixtures import single_redis_url

from octet.daemon.hooks.service import HookService

redis_url = single_redis_url


@pytest.fixture
def sessions(service: HookService, repository: Path, redis_url: str) -> Iterator[list[Client]]:
    """Two sessions, each a process of its own."""
    processes = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    yield [
        Client(service, repository, redis_url, process.pid, f"s{n}")
        for n, process in enumerate(processes)
    ]
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def one(sessions: list[Client]) -> Client:
    """A session that was started as a developer."""
    sessions[0].start(agent_type=DEVELOPER)
    return sessions[0]
