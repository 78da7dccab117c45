from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.redis_fixtures import Server

from octet.client.api import Octet
from octet.daemon.process import control
from octet.store.connection import open_client

from .field import Field


@pytest.fixture
def field(
    tmp_path: Path,
    temporary_home: Path,
    redis_servers: Callable[[str], Server],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Field]:
    """A repository that has not run `octet init` yet; whatever daemon is started is ended."""
    url = redis_servers("redis").url
    settings = {
        "OCTET_HOME": str(temporary_home / "state"),
        "OCTET_REDIS_URL": url,
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    settings |= {"GIT_CONFIG_NOSYSTEM": "1", "OCTET_DAEMON_IDLE_S": "30"}
    for name in ("AUTHOR", "COMMITTER"):
        settings |= {f"GIT_{name}_NAME": "Ann", f"GIT_{name}_EMAIL": "ann@example.org"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    environment = {"HOME": str(temporary_home), "PATH": os.environ["PATH"], **settings}
    with Octet(open_client(url), "shop") as octet:
        octet.store.client.flushall()
        found = Field(tmp_path.resolve(), environment, octet)
        try:
            yield found
        finally:
            for session in found.sessions:
                session.end()
            control.stop()


@pytest.fixture
def fenced(field: Field) -> Field:
    """After `octet init`."""
    field.init()
    return field
