"""The wheel: what is in it, and that it works where nothing else of the project is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from tests.cli.machine import PROJECT

from octet import __version__
from octet.runtime import environment


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this source tree."""
    target = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", target],
        cwd=PROJECT,
        check=True,
        capture_output=True,
    )
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(
    wheel: Path,
    tmp_path_factory: pytest.TempPathFactory,
    registry_env: dict[str, str],
    missing: Callable[[str], NoReturn],
) -> Path:
    """An environment in which only the wheel and its dependencies are installed."""
    venv = tmp_path_factory.mktemp("installed")
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryFile("a+") as log:
        for name, value in registry_env.items():
            patch.setenv(name, value)
        try:
            environment.install([str(wheel)], venv, log, log.fileno())
        except environment.SetupFailed as error:
            missing(str(error)) if "registry" in str(error) else pytest.fail(str(error))
    return venv


def test_everything_is_inside(wheel: Path) -> None:
    """The wheel has each file of the package and of the plugin, and the py.typed mark."""
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    package = {path.relative_to(PROJECT / "src") for path in tracked("src/octet")}
    plugin = {
        Path("octet", "_plugin", path.relative_to(PROJECT))
        for path in tracked(".claude-plugin", "hooks", "commands", "agents")
    }
    assert {
        Path("octet/py.typed"),
        Path("octet/store/lua/task/claim.lua"),
        Path("octet/_plugin/hooks/hooks.json"),
    } <= package | plugin
    assert {str(path) for path in package | plugin} - packed == set()


def test_the_hooks_can_be_run(installed: Path) -> None:
    """What Claude Code starts directly is still a program when pip has installed it."""
    launch = next(installed.glob("lib/python*/site-packages/octet/_plugin/hooks/launch"))
    assert os.access(launch, os.X_OK)


def test_the_command_works(installed: Path, clean_env: dict[str, str]) -> None:
    """The command starts as it is, without a set-up of its own, and leaves nothing behind."""
    shown = subprocess.run(
        [installed / "bin" / "octet", "--version"],
        env=clean_env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (__version__ in shown.stdout, shown.stderr) == (True, "")
    assert list(Path(clean_env["HOME"]).iterdir()) == []


def test_the_package_runs_as_a_module(installed: Path, clean_env: dict[str, str]) -> None:
    """`python -m octet` is the same command."""
    command = [str(installed / "bin" / "python"), "-m", "octet", "--version"]
    shown = subprocess.run(
        command, env=clean_env, cwd=clean_env["HOME"], capture_output=True, text=True, check=True
    )
    assert __version__ in shown.stdout


def test_hooks_are_told_of_the_wheels_command(installed: Path, clean_env: dict[str, str]) -> None:
    """The record for hooks names the package where it is installed, and a command and an
    interpreter that are there.
    """
    script = "from octet.runtime import bootstrap; bootstrap.record_interpreter()"
    subprocess.run(
        [installed / "bin" / "python", "-c", script],
        env=clean_env,
        cwd=clean_env["HOME"],
        check=True,
    )
    python, source, command = (
        (Path(clean_env["HOME"]) / ".local/state/octet/interpreter").read_text().splitlines()
    )
    assert Path(command) == installed / "bin" / "octet"
    subprocess.run(
        [
            python,
            "-I",
            "-S",
            "-c",
            "import sys; sys.path.insert(0, sys.argv[1]); import octet",
            source,
        ],
        check=True,
    )


def tracked(*directories: str) -> list[Path]:
    """The files below the directories that belong to the project."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *directories],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [path for name in listed.split("\0") if name and (path := PROJECT / name).exists()]
