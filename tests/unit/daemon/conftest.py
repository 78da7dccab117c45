"""A directory whose name leaves room for a socket's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """Removed after the test; pytest's own is too long for a unix socket on macOS."""
    with tempfile.TemporaryDirectory(prefix="octet-", dir="/tmp") as name:
        yield Path(name)
