"""Runs the real Claude Code in an environment made from nothing, against the scripted model.

`ClaudeHeadless` is `claude -p`, either with one prompt or kept alive by prompts on its standard
input. `ClaudeInteractive` is the terminal program in a pseudo-terminal. Both are started in a
session of their own and leave no process behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

VERSION = "2.1.330"
DEADLINE_S = 30.0
API_KEY = "sk-ant-api03-this-key-opens-nothing-at-all"
# drawn once the terminal program takes input
PROMPT_SIGN = "\N{HEAVY RIGHT-POINTING ANGLE QUOTATION MARK ORNAMENT}"
HEADLESS = ("--output-format", "stream-json", "--verbose", "--include-hook-events")


def find_claude() -> Path | None:
    """The program that the tests run: `$OCTET_TEST_CLAUDE`, else `claude` on PATH."""
    named = os.environ.get("OCTET_TEST_CLAUDE") or shutil.which("claude")
    return Path(named) if named else None


def unfit_because(binary: Path | None) -> str:
    """Why `binary` cannot serve the tests, or ""."""
    if binary is None:
        return (
            "needs claude: set OCTET_TEST_CLAUDE to the program of "
            f"@anthropic-ai/claude-code@{VERSION}"
        )
    try:
        shown = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        ).stdout
    except OSError as error:
        return f"needs claude: {binary} does not start: {error.strerror}"
    return (
        ""
        if shown.split()[:1] == [VERSION]
        else f"needs claude: {binary} is {shown.strip() or 'mute'}, the tests know {VERSION}"
    )


def client_environment(home: Path, model_url: str) -> dict[str, str]:
    """All that a run of Claude Code gets to see; nothing is inherited from the one who tests."""
    environment = {
        "HOME": str(home),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "SHELL": "/bin/sh",
        "CLAUDE_CONFIG_DIR": str(home / ".claude"),
        "ANTHROPIC_API_KEY": API_KEY,
        "ANTHROPIC_BASE_URL": model_url,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "0",
        "DISABLE_AUTOUPDATER": "1",
    }
    if os.getuid() == 0:
        environment["IS_SANDBOX"] = "1"  # root may not skip permissions anywhere else
    return environment


def accept_first_run_questions(home: Path, *repositories: Path) -> None:
    """Write the answers to the terminal program's first-start questions: theme, key, trust."""
    state = {
        "hasCompletedOnboarding": True,
        "bypassPermissionsModeAccepted": True,
        "theme": "dark",
        "customApiKeyResponses": {"approved": [API_KEY[-20:]], "rejected": []},
        "projects": {
            str(repository): {"hasTrustDialogAccepted": True, "allowedTools": []}
            for repository in repositories
        },
    }
    directory = home / ".claude"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / ".claude.json").write_text(json.dumps(state))


class _Client:
    """What both runners share: the process, its end, and waiting with a deadline."""

    process: subprocess.Popen[bytes]

    def __init__(self) -> None:
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL to the client alone, as when a terminal goes; what it started lives on."""
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def close(self) -> None:
        """End the client and its process group, whatever state it is in."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(DEADLINE_S)

    def _wait_for(self, predicate: Callable[[], bool], what: str, deadline_s: float) -> None:
        with self._changed:
            if not self._changed.wait_for(predicate, deadline_s):
                raise AssertionError(f"{what}: not within {deadline_s:g} s; {self._diagnosis()}")

    def _diagnosis(self) -> str:
        raise NotImplementedError


class ClaudeHeadless(_Client):
    """`claude -p`: its events are read as they come.

    With a `prompt` the client answers it and ends; with None it lives until `finish`, fed by
    `send`.
    """

    def __init__(
        self,
        binary: Path,
        directory: Path,
        environment: Mapping[str, str],
        prompt: str | None,
        arguments: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self._stderr = b""
        feed = ["--input-format", "stream-json"] if prompt is None else []
        self.process = subprocess.Popen(
            [
                str(binary),
                "-p",
                *([] if prompt is None else [prompt]),
                *HEADLESS,
                *feed,
                *arguments,
            ],
            cwd=directory,
            env=dict(environment),
            start_new_session=True,
            stdin=subprocess.DEVNULL if prompt is not None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._readers = [
            threading.Thread(target=read, daemon=True)
            for read in (self._read_events, self._read_stderr)
        ]
        for reader in self._readers:
            reader.start()

    def send(self, prompt: str) -> None:
        """Give a client without a prompt the next one."""
        assert self.process.stdin is not None
        line = {"type": "user", "message": {"role": "user", "content": prompt}}
        self.process.stdin.write(json.dumps(line).encode() + b"\n")
        self.process.stdin.flush()

    def finish(self, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """Wait for the client's own end and return its `result` event."""
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(deadline_s)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(
                f"the client did not end within {deadline_s:g} s; {self._diagnosis()}"
            ) from error
        self._join()
        results = [event for event in self.events if event.get("type") == "result"]
        assert results, f"the client ended without a result; {self._diagnosis()}"
        return results[-1]

    def wait_for_results(self, count: int, deadline_s: float = DEADLINE_S) -> None:
        """Block until `count` prompts have been answered."""
        self._wait_for(lambda: self.turns() >= count, f"result {count}", deadline_s)

    def turns(self) -> int:
        """How many turns have ended so far."""
        return sum(event.get("type") == "result" for event in list(self.events))

    def hook_responses(self, event: str) -> list[dict[str, Any]]:
        """What the hooks of `event` gave back: hook_name, stdout, stderr, exit_code, outcome."""
        return [
            found
            for found in list(self.events)
            if found.get("subtype") == "hook_response" and found["hook_event"] == event
        ]

    def close(self) -> None:
        super().close()
        self._join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                stream.close()

    def _join(self) -> None:
        for reader in self._readers:
            reader.join(DEADLINE_S)

    def _read_events(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.events.append(json.loads(line))
                self._changed.notify_all()

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        self._stderr = self.process.stderr.read()

    def _diagnosis(self) -> str:
        return f"last event {self.events[-1:]}, stderr {self._stderr[-500:]!r}"


class ClaudeInteractive(_Client):
    """The terminal program in a pseudo-terminal of 50 x 200; tests type into it and watch the
    model, seldom the screen.
    """

    def __init__(
        self,
        binary: Path,
        directory: Path,
        environment: Mapping[str, str],
        arguments: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._output = bytearray()
        self._closed = False
        self._master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.process = subprocess.Popen(
            [str(binary), *arguments],
            cwd=directory,
            env=dict(environment),
            start_new_session=True,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        self._ended, self._end = os.pipe()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_ready(self) -> None:
        """Block until the program takes input."""
        self.wait_for_screen(PROMPT_SIGN)

    def type_line(self, text: str) -> None:
        """Paste `text` into the prompt and press Enter."""
        self._write(b"\x1b[200~" + text.encode() + b"\x1b[201~")
        # An Enter in the same read belongs to the paste, and no event announces the next read.
        time.sleep(0.15)
        self._write(b"\r")

    def press(self, keys: bytes) -> None:
        self._write(keys)

    def screen(self) -> str:
        """All that was drawn so far, control sequences removed."""
        with self._changed:
            text = self._output.decode(errors="replace")
        return re.sub(
            r"\x1b(\][^\x07\x1b]*(\x07|\x1b\\)|\[[0-9;?<>=]*[a-zA-Z@`]|[()][A-Z0-9]|[=>78])",
            "",
            text,
        )

    def wait_for_screen(self, words: str, deadline_s: float = DEADLINE_S) -> None:
        """Block until `words`, spaces left out, have been drawn at some time."""
        wanted = words.replace(" ", "")
        self._wait_for(
            lambda: wanted in self.screen().replace(" ", ""), f"{words!r} on the screen", deadline_s
        )

    def leave(self, deadline_s: float = DEADLINE_S) -> None:
        """/exit, and wait for the end."""
        self.type_line("/exit")
        self.process.wait(deadline_s)

    def close(self) -> None:
        super().close()
        if self._closed:
            return
        self._closed = True
        os.close(self._end)
        self._reader.join(DEADLINE_S)
        os.close(self._ended)
        os.close(self._master)

    def _write(self, data: bytes) -> None:
        os.write(self._master, data)

    def _read(self) -> None:
        while True:
            ready, _, _ = select.select([self._master, self._ended], [], [])
            if self._ended in ready:
                return
            try:
                data = os.read(self._master, 65536)
            except OSError:  # EIO: the last holder of the terminal is gone
                return
            with self._changed:
                self._output += data
                self._changed.notify_all()

    def _diagnosis(self) -> str:
        return f"screen {self.screen()[-1500:]!r}"
