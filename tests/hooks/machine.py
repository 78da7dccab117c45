"""A person's machine as a hook sees it: a home, an approved repository, an interpreter on record,
an `octet` command.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.waiting import poll

from octet.base import dirs
from octet.daemon.process import control
from octet.daemon.process.status import Status

PROJECT = Path(__file__).parents[2]
HOOKS = PROJECT / "hooks"
PAYLOADS = Path(__file__).with_name("payloads")
FAKE_DAEMON = Path(__file__).with_name("fake_daemon.py")
PYTHON = os.path.realpath(sys.executable)
GUARD = "PreToolUse"
EVENTS = json.loads((HOOKS / "hooks.json").read_text())["hooks"].keys()


@dataclass(frozen=True)
class Answer:
    """What a hook's process left behind."""

    code: int
    out: bytes
    err: bytes

    @property
    def json(self) -> dict[str, Any]:
        data = json.loads(self.out)
        assert isinstance(data, dict)
        return data

    @property
    def blocks(self) -> bool:
        """Whether Claude Code would not run the tool."""
        if self.code == 2:
            return bool(self.err.strip())
        return self.out != b"" and self.json.get("hookSpecificOutput", {}).get(
            "permissionDecision"
        ) in {"deny", "ask"}

    def assert_valid(self) -> None:
        """Claude Code understands it: 0 with nothing or one JSON object, or 2 with a reason; and no
        trace of an exception.
        """
        assert self.code in (0, 2), self
        assert b"Traceback" not in self.out + self.err, self
        assert self.err.count(b"\n") <= 1, self
        if self.code == 2:
            assert self.err.strip(), self
        elif self.out:
            assert self.json, self


class Machine:
    """Everything below `directory`; `environment` is all that its hooks get."""

    def __init__(self, directory: Path, home: Path) -> None:
        self.state = dirs.state_dir()
        self.repository = directory / "a r\u00e9po \N{SNOWMAN}"
        self.elsewhere = directory / "elsewhere"
        self.elsewhere.mkdir()
        self.environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "OCTET_DAEMON_IDLE_S": "30"}
        self.octet = directory / "octet"
        opt_in(self.repository)
        (self.repository / ".git").mkdir()  # enough for what reads `.git` by hand
        self.approve(self.repository)
        self.set_command(f'exec {shlex.quote(sys.executable)} {shlex.quote(str(FAKE_DAEMON))} "$@"')

    def approve(self, root: Path) -> None:
        record = self.state / "trust" / root.relative_to("/") / "octet.json"
        record.parent.mkdir(parents=True, exist_ok=True)
        record.touch()

    def set_interpreter(self, python: str | Path) -> None:
        (self.state / "interpreter").write_text(f"{python}\n{PROJECT / 'src'}\n{self.octet}\n")

    def set_command(self, script: str) -> None:
        """`octet`, as a shell script that also counts its runs."""
        self.octet.write_text(f'#!/bin/sh\necho run >> "$0.runs"\n{script}\n')
        self.octet.chmod(0o755)
        self.set_interpreter(PYTHON)

    @property
    def command_runs(self) -> int:
        runs = Path(f"{self.octet}.runs")
        return len(runs.read_text().splitlines()) if runs.exists() else 0

    def use_real_octet(self) -> None:
        """The command itself, from this source and under this interpreter."""
        self.set_command(
            f"PYTHONPATH={shlex.quote(str(PROJECT / 'src'))} exec "
            f'{shlex.quote(sys.executable)} -m octet "$@"'
        )

    def recorded(self, name: str, **changes: Any) -> bytes:
        """A payload that the real client sent, as if from this repository; fields in `changes` are
        replaced, None takes one out.
        """
        text = (
            (PAYLOADS / f"{name}.json")
            .read_text()
            .replace("@REPO@", json.dumps(str(self.repository))[1:-1])
        )
        fields = {**json.loads(text), **changes}
        return json.dumps(
            {key: value for key, value in fields.items() if value is not None}
        ).encode()

    def start_daemon(self) -> Status:
        from .fake_daemon import WORKER

        return control.start(worker=WORKER)

    def begin(
        self, event: str, *, source: str = "plugin", cwd: Path | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """The hook's process, as Claude Code starts it; `launch`, `environment` and any of Popen's
        may be given.
        """
        launch = options.pop("launch", [str(HOOKS / "launch")])
        environment: Mapping[str, str] = options.pop("environment", self.environment)
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [*launch, event, source],
            cwd=cwd or self.repository,
            env=environment,
            start_new_session=True,
            **{**streams, **options},
        )

    def run(
        self, event: str, payload: bytes = b"{}", *, within_s: float = 30.0, **options: Any
    ) -> Answer:
        """One hook from start to end."""
        process = self.begin(event, **options)
        try:
            out, err = process.communicate(payload, timeout=within_s)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        return Answer(process.returncode, out, err)

    def run_together(self, count: int, event: str, payload: bytes = b"{}") -> list[Answer]:
        """That many at once; their input lies ready, so that no time is lost on it."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(payload)
            file.flush()
            processes = []
            for _ in range(count):
                with open(file.name, "rb") as stdin:
                    processes.append(self.begin(event, stdin=stdin))
            outputs = [process.communicate(timeout=90) for process in processes]
        return [
            Answer(process.returncode, *output)
            for process, output in zip(processes, outputs, strict=True)
        ]


def opt_in(root: Path) -> Path:
    """Make `root` a repository with Octet's settings in it."""
    (root / ".claude").mkdir(parents=True)
    (root / ".claude" / "octet.toml").write_text('project = "shop"\n')
    return root


def wait_for(condition: Callable[[], Any], what: str, within_s: float = 20.0) -> Any:
    """Poll until `condition` gives something true, and return that."""
    return poll(condition, what, within_s)


def tree(directory: Path) -> dict[str, tuple[int, float]]:
    """Every file below, with size and time: two equal ones mean that nothing was written."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime)
        for path in sorted(directory.rglob("*"))
    }
