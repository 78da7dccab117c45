"""A repository that has opted in, and the `octet` command in it: in this process by `shop.run`, as
a process of its own by `shop.start`.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.redis_fixtures import Server, wait_for

import octet as package
from octet.cli import run
from octet.client.api import Octet
from octet.project import trust
from octet.project.repository import load_project
from octet.store.connection import open_client

RedisCli = Callable[..., str]


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shop:
    """The repository `root`, its store as a library user sees it, and the command line."""

    def __init__(
        self,
        root: Path,
        octet: Octet,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.root, self.octet = root, octet
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def run(self, *words: str, code: int = 0, stdin: str = "", **env: str) -> Ran:
        """Run `octet WORDS`; it must end with `code`, say something on stderr exactly when it
        fails, and no traceback ever.
        """
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            for name, value in env.items():
                patch.setenv(name, value)
            self._capsys.readouterr()
            found = run(list(words))
        shown = self._capsys.readouterr()
        assert found == code, shown
        assert bool(shown.err) == bool(code) or stdin, shown
        assert "Traceback" not in shown.out + shown.err
        return Ran(found, shown.out, shown.err)

    def json(self, *words: str, **named: Any) -> Any:
        """What `octet WORDS --json` prints, parsed."""
        return self.run(*words, "--json", **named).json

    def refuses(self, *words: str, code: int = 1, **named: Any) -> str:
        """The one line on stderr with which the command ends in `code`."""
        ran = self.run(*words, code=code, **named)
        assert ran.err.startswith("octet: ")
        assert ran.err.count("\n") == 1
        return ran.err

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """The command as a process of its own."""
        env = (
            os.environ
            | {"PYTHONPATH": str(Path(package.__file__).parents[1])}
            | options.pop("env", {})
        )
        pipes = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        } | options
        command = [sys.executable, "-m", "octet", *words]
        process: Any = subprocess.Popen(command, env=env, **pipes)
        return cast("subprocess.Popen[bytes]", process)


def git(directory: Path, *words: str) -> str:
    identity = [
        "-c",
        "user.name=Ann",
        "-c",
        "user.email=ann@example.org",
        "-c",
        "init.defaultBranch=main",
    ]
    done = subprocess.run(
        ["git", *identity, *words],
        cwd=directory,
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, temporary_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with `.claude/octet.toml`, in a directory with a space; not approved on this
    machine.
    """
    monkeypatch.setenv("OCTET_HOME", str(temporary_home / "state"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("LOGNAME", "ann")
    root = tmp_path.resolve() / "a shop"
    (root / ".claude").mkdir(parents=True)
    (root / ".claude" / "octet.toml").write_text('project = "shop"\n')
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "Begin")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def shop(
    repository: Path,
    redis_servers: Callable[[str], Server],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Shop]:
    """The repository, approved, with an empty store."""
    trust.approve(load_project(repository))
    url = redis_servers("redis").url
    monkeypatch.setenv("OCTET_REDIS_URL", url)
    with Octet(open_client(url), "shop") as octet:
        octet.store.client.flushall()
        yield Shop(repository, octet, capsys, monkeypatch)


@pytest.fixture
def redis_cli(
    require_program: Callable[[str], Path], redis_servers: Callable[[str], Server]
) -> RedisCli:
    """The real redis-cli: its output without the last line end."""
    program, socket = require_program("redis-cli"), str(redis_servers("redis").socket)

    def call(*words: str) -> str:
        return subprocess.run(
            [program, "-s", socket, *words], capture_output=True, text=True, check=True, timeout=30
        ).stdout.rstrip("\n")

    return call


def started(shop: Shop, *words: str, **options: Any) -> subprocess.Popen[bytes]:
    """The command, which waits by now."""
    process = shop.start(*words, **options)
    client = shop.octet.store.client
    wait_for(lambda: len(client.pubsub_channels()) + client.pubsub_numpat() > 0, "it waits")
    return process


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
