"""Fixtures of the end-to-end tests: the client, the scripted model, and a sandbox with Octet in it.

`OCTET_TEST_CLAUDE` names the program of Claude Code; `OCTET_TEST_CACHE` a cache directory to keep
between runs.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.claude import find_claude, unfit_because
from tests.support.programs import skip_or_fail
from tests.support.sandbox import DROP_IN, PLUGIN, PROJECT, Sandbox
from tests.support.scripted_model import Model

BUILD_DEADLINE_S = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `either_way` runs once with the plugin and once with the drop-in."""
    if "either_way" in metafunc.fixturenames:
        metafunc.parametrize("sandbox", [PLUGIN, DROP_IN], indirect=True)


@pytest.fixture(scope="session")
def claude_binary() -> Path:
    """The real client of the tested version; without it the tests are skipped, but fail in CI."""
    binary = find_claude()
    if reason := unfit_because(binary):
        skip_or_fail(reason)
    assert binary is not None
    return binary


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory with the virtual environment that `bin/octet` built for all sandboxes."""
    cache = Path(os.environ.get("OCTET_TEST_CACHE") or tmp_path_factory.mktemp("cache"))
    state = tmp_path_factory.mktemp("state")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OCTET_", "CLAUDE", "PYTHON"))
    }
    built = subprocess.run(
        [PROJECT / "bin" / "octet", "--version"],
        env=environment | {"XDG_CACHE_HOME": str(cache), "XDG_STATE_HOME": str(state)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_DEADLINE_S,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return cache


@pytest.fixture
def model() -> Iterator[Model]:
    """A scripted model; what went wrong inside it fails the test."""
    with Model() as server:
        yield server
    assert server.errors == []


@pytest.fixture
def sandbox(
    request: pytest.FixtureRequest, claude_binary: Path, model: Model, shared_cache: Path
) -> Iterator[Sandbox]:
    """A machine that has not opted in yet; with the plugin unless parametrised otherwise."""
    directory = Path(tempfile.mkdtemp(prefix="octet-")).resolve()
    made = Sandbox(directory, claude_binary, model, getattr(request, "param", PLUGIN), shared_cache)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def team(sandbox: Sandbox) -> Sandbox:
    """A sandbox whose repository has opted in."""
    sandbox.opt_in()
    return sandbox


@pytest.fixture
def either_way(team: Sandbox) -> Sandbox:
    """As `team`, with the plugin and with the drop-in in turn."""
    return team
