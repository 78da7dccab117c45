"""A heartbeat of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from octet.daemon.liveness.heartbeat import Heartbeat
from octet.daemon.projects.sessions import Projects


@pytest.fixture
def heartbeat(projects: Projects) -> Iterator[Heartbeat]:
    heartbeat = Heartbeat(projects)
    yield heartbeat
    heartbeat.stop()
