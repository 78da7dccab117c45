"""An approved repository, its crew on a real server, and processes to be agents."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from octet.client.api import Octet
from octet.daemon.hooks.service import HookService
from octet.daemon.liveness.heartbeat import Vitals
from octet.daemon.projects.sessions import Crews
from octet.project import trust
from octet.project.config import FILE
from octet.project.repository import load_project


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An approved repository of project `shop`."""
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_text('project = "shop"\n')
    trust.approve(load_project(tmp_path))
    return tmp_path


@pytest.fixture
def crews() -> Iterator[Crews]:
    crews = Crews()
    yield crews
    for crew in crews.all():
        if crew.octet:
            crew.octet.close()


@pytest.fixture
def service(crews: Crews) -> Iterator[HookService]:
    """What answers hooks, in this process; none of its threads outlives the test."""
    vitals = Vitals(crews)
    made = HookService(crews, vitals)
    yield made
    made.ledger.stop()
    vitals._deaths.stop()
    vitals.rescuer.stop()


@pytest.fixture
def octet(crews: Crews, repository: Path, redis_url: str) -> Octet:
    return crews.find(str(repository), redis_url).connected()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()
