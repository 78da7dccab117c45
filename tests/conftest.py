"""What every test gets: a home of its own, a clean environment for subprocesses."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more about the machine than about the code.
settings.register_profile("octet", deadline=None)
settings.load_profile("octet")

pytest_plugins = (
    "tests.support.leftovers",
    "tests.support.programs",
    "tests.support.redis_fixtures",
    "tests.support.store_fixtures",
    "tests.support.repositories",
)

# For the processes that tests start, where pytest was not started by scripts/test.
os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parents[1] / "src"))

REAL_HOME = Path.home()
# What it takes to reach the package registry from here, and nothing else of the caller's settings.
REGISTRY_SETTINGS = (
    "PIP_",
    "UV_",
    "SSL_",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
)
PIP_SETTINGS = (".config/pip/pip.conf", ".pip/pip.conf", "Library/Application Support/pip/pip.conf")


@pytest.fixture(autouse=True)
def temporary_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """HOME for the test itself, so that no forgotten variable lets it write in the real one."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("OCTET_", "XDG_", "CLAUDE")) and not name.startswith("OCTET_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("OCTET_DAEMON", "never")  # a test that wants a daemon starts it, and ends it
    return home


@pytest.fixture
def clean_env(temporary_home: Path) -> dict[str, str]:
    """An environment built from nothing, for subprocesses: home, language, and a PATH on which
    `python3` is new enough.
    """
    python = Path(getattr(sys, "_base_executable", sys.executable)).parent
    return {
        "HOME": str(temporary_home),
        "LANG": "C.UTF-8",
        "OCTET_DAEMON": "never",
        "PATH": f"{python}:{os.environ['PATH']}",
    }


@pytest.fixture(scope="session")
def registry_env() -> dict[str, str]:
    """The caller's settings for the package registry, to be added to `clean_env`."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name.upper().startswith(REGISTRY_SETTINGS)
    }
    for name in PIP_SETTINGS:
        if (REAL_HOME / name).exists():
            env.setdefault("PIP_CONFIG_FILE", str(REAL_HOME / name))
    return env
