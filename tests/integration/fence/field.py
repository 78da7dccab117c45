"""A repository behind the fence: `octet init` for real, a daemon, a store, and people and agents
who run plain git in it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octet.base.process import identify
from octet.cli import run
from octet.client.api import Octet
from octet.core.agents.identity import process_key
from octet.core.agents.registry import Agent, Registration
from octet.daemon.process import control
from octet.fence.attempt import TOKEN_VARIABLE
from octet.install import fence
from octet.project.repository import load_project

SOURCE = Path(__file__).parents[3] / "src"
DEADLINE_S = 30.0
SETTINGS = 'project = "shop"\nprotected = ["main", "release/*"]\n'


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.01)
    return found


@dataclass(frozen=True)
class Ended:
    """How git ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """What Octet said, in one line; "" for nothing."""
        ours = [
            line.removeprefix("remote: ")
            for line in self.err.splitlines()
            if "Octet" in line or "octet" in line
        ]
        assert len(ours) <= 1, self.err
        assert "Traceback" not in self.err
        return ours[0].strip() if ours else ""


class Session:
    """A process like Claude Code's: what it runs has it for an ancestor. `agent` is what it is
    registered as.
    """

    def __init__(self, field: Field, role: str) -> None:
        self._field = field
        self.process = subprocess.Popen(
            ["sh"], stdin=subprocess.PIPE, env=field.environment, text=True
        )
        identity = identify(self.process.pid)
        assert identity is not None
        wanted = Registration(
            role=role,
            kind="session",
            process=process_key(identity),
            host=identity.host,
            pid=identity.pid,
        )
        self.agent: Agent = field.octet.agents.register(wanted).agent

    @property
    def pid(self) -> int:
        return self.process.pid

    def git(self, *words: str, at: Path | None = None, **environment: str) -> Ended:
        """git run by this process, with nothing in its environment that tells so."""
        files = {
            name: self._field.directory / f"{self.pid}.{name}" for name in ("out", "err", "code")
        }
        files["code"].unlink(missing_ok=True)
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
        command = (
            f"cd {shlex.quote(str(at or self._field.root))}; env {settings} git {shlex.join(words)}"
        )
        out, err, code = (shlex.quote(str(files[name])) for name in ("out", "err", "code"))
        assert self.process.stdin is not None
        self.process.stdin.write(
            f"({command}) >{out} 2>{err} </dev/null; echo $? >{code}.new; mv {code}.new {code}\n"
        )
        self.process.stdin.flush()
        wait_for(files["code"].exists, f"git {words}")
        return Ended(
            int(files["code"].read_text()), files["out"].read_text(), files["err"].read_text()
        )

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class Field:
    """The repository `root` and a linked worktree `tree` of it, on the branch octet/t1."""

    def __init__(self, directory: Path, environment: dict[str, str], octet: Octet) -> None:
        self.directory, self.octet = directory, octet
        self.environment = environment
        self.state = Path(environment["OCTET_HOME"])
        self.root, self.tree = directory / "a shop", directory / "tree 1"
        self.sessions: list[Session] = []
        (self.root / ".claude").mkdir(parents=True)
        (self.root / ".claude" / "octet.toml").write_text(SETTINGS)
        self.person("init", "-q", "-b", "main", at=self.root)
        for number in (1, 2, 3):
            (self.root / f"file{number}").write_text("begin\n")
            self.person("add", "-A")
            self.person("commit", "-q", "-m", f"Step {number}")
        self.person("branch", "release/1")
        self.person("worktree", "add", "-q", "-b", "octet/t1", str(self.tree))
        self.person("commit", "-q", "--allow-empty", "-m", "Work", at=self.tree)

    def init(self, *words: str) -> None:
        """`octet init`; the `octet` command on record is this source."""
        assert run(["-C", str(self.root), "init", *words]) == 0
        self.record(
            f"PYTHONPATH={shlex.quote(str(SOURCE))} exec {shlex.quote(sys.executable)} -m "
            'octet "$@"'
        )

    def record(self, script: str) -> None:
        """What the hooks find: Python, the package, the `octet` command."""
        command = self.directory / "octet"
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
        (self.state / "interpreter").write_text(
            f"{os.path.realpath(sys.executable)}\n{SOURCE}\n{command}\n"
        )

    def serve(self, *sessions: Session) -> None:
        """Start the daemon, and wait until git's hooks have been told of these sessions."""
        hints = self.state / "fence"
        control.serve(self.root, self.environment["OCTET_REDIS_URL"])
        self.record('echo "no command" >&2; exit 9')
        wait_for(
            lambda: (
                all(f" {session.pid} " in hints.read_text() for session in sessions)
                if hints.exists()
                else not sessions
            ),
            "hints",
        )

    def session(self, role: str) -> Session:
        self.sessions.append(Session(self, role))
        return self.sessions[-1]

    def person(
        self, *words: str, at: Path | None = None, code: int | None = 0, **environment: str
    ) -> Ended:
        """git run by an unregistered caller."""
        done = subprocess.run(
            ["git", *words],
            cwd=at or self.root,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert code is None or done.returncode == code, done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    def tips(self) -> str:
        return self.person("for-each-ref", "refs/heads").out

    def lock(self, agent: Agent, branch: str = "main") -> str:
        """The agent takes the branch's lock by its own command; the token."""
        return self.octet.locks.acquire(agent, [f"repository:{branch}"])[f"repository:{branch}"]

    def doctor(self) -> fence.FenceState:
        return fence.examine(load_project(self.root))


def shows(token: str) -> dict[str, Any]:
    """The environment of one who shows a token."""
    return {TOKEN_VARIABLE: token}
