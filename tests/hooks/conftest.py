"""A machine for each test, with nothing left running after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from octet.daemon.process import control

from .machine import Machine


@pytest.fixture
def machine(tmp_path: Path, temporary_home: Path) -> Iterator[Machine]:
    """A machine whose daemon is a real one with a fake service."""
    machine = Machine(tmp_path, temporary_home)
    yield machine
    control.stop()
