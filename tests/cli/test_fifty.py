"""Fifty terminals at once on a machine that Octet has never run on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from tests.support.redis_fixtures import wait_for

from octet.project import trust
from octet.project.config import FILE
from octet.project.repository import load_project

ROOT = Path(__file__).resolve().parents[2]
TERMINALS = 50


@pytest.fixture
def machine(
    clean_env: dict[str, str],
    registry_env: dict[str, str],
    short_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[dict[str, str]]:
    """A fresh home whose owner has approved the repository `~/shop`; what runs there is ended after
    the test.
    """
    environment = {**clean_env, **registry_env, "HOME": str(short_directory)}
    environment.pop("OCTET_DAEMON")
    monkeypatch.setenv("HOME", str(short_directory))
    (short_directory / "shop" / ".claude").mkdir(parents=True)
    (short_directory / "shop" / FILE).write_text('project = "shop"\n')
    trust.approve(load_project(short_directory / "shop"))
    yield environment
    for verb in ("daemon", "redis"):
        subprocess.run(
            [ROOT / "bin" / "octet", verb, "stop"],
            env=environment,
            capture_output=True,
            check=False,
        )
    wait_for(lambda: not running(environment["HOME"]), "everything of this home has ended")


def running(home: str) -> list[str]:
    """The command lines of all processes that this home's commands started: by HOME, or, for the
    server, by its directory.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ours = f"HOME={home}".encode() in (process / "environ").read_bytes().split(b"\0")
            if ours or str((process / "cwd").readlink()).startswith(home):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it ended while we looked
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")
@pytest.mark.timeout(300)
def test_fifty_first_commands_share_one_environment_server_and_daemon(
    machine: dict[str, str], missing: Callable[[str], NoReturn]
) -> None:
    """`octet status` fifty times at once on a fresh home: no error, one virtual environment, one
    server, one daemon.
    """
    home = Path(machine["HOME"])
    command = [str(ROOT / "bin" / "octet"), "status", "--json"]
    commands = [
        subprocess.Popen(
            command,
            cwd=home / "shop",
            env=machine,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(TERMINALS)
    ]
    ended = [(process.communicate(timeout=240), process.returncode) for process in commands]
    if any("registry" in err for (_, err), _ in ended) and os.environ.get("CI") != "true":
        missing("the package registry is out of reach")
    assert [(err, code) for (_, err), code in ended if code] == []
    assert all('"project": "shop"' in out for (out, _), _ in ended)
    assert [err for (_, err), _ in ended if err and "setting up" not in err] == []
    assert len(list((home / ".cache" / "octet").glob("venv-*/pyvenv.cfg"))) == 1
    lines = running(str(home))
    kinds = [
        "supervisor" if "supervisor.py" in line else "worker" if "worker.py" in line else "server"
        for line in lines
    ]
    assert sorted(kinds) == ["server", "supervisor", "worker"], lines
