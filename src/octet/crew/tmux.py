"""Members in windows of a tmux session, where people can watch them and type. The only module that
imports libtmux.

The windows belong to the tmux server: they outlive this process, and its successor adopts them.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from octet.base.errors import OctetError, Refused, UsageError
from octet.crew.hosts import Exit, Launch
from octet.runtime.environment import module_command

BOARD = "board"
NOTICES_WITHIN_S = 3.0
EXIT_FORMAT, EXIT_UNKNOWN = "#{pane_dead}:#{pane_dead_status}:#{pane_dead_signal}", "1::"
OWNER = "@octet_crew"  # a session option: the directory of the crew that owns the session
# All users of the machine can read a command line, so the environment goes through a file, which
# the shell removes at once.
LOAD_ENVIRONMENT = '. "$1"; rm -f "$1"; shift; exec "$@"'
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The variables that tmux sets for the programs in its windows.
SET_BY_TMUX = frozenset(
    {
        "TMUX",
        "TMUX_PANE",
        "TERM",
        "TERM_PROGRAM",
        "TERM_PROGRAM_VERSION",
        "COLORTERM",
        "SHLVL",
        "PWD",
        "OLDPWD",
        "_",
    }
)


def require_tmux() -> None:
    """Check that tmux is installed.

    Raises:
        UsageError: it is not.
    """
    if shutil.which("tmux") is None:
        raise UsageError(
            "tmux is not installed: install it (apt install tmux, brew install tmux), or use "
            "`octet up --headless`"
        )


def session_name(project: str) -> str:
    """The name of a project's tmux session, without `.` and `:`, which tmux reads as separators."""
    return re.sub(r"[.:]", "-", project)


class TmuxHost:
    """Members as `claude`, each in a window of its own.

    Args:
        name: the tmux session's.
        directory: the crew's.
        root: the repository's; the first window shows its state.

    Raises:
        Refused: another owner's session has that name, or tmux fails.
    """

    def __init__(self, name: str, directory: Path, root: str) -> None:
        import libtmux
        from libtmux.exc import LibTmuxException

        self._failure = LibTmuxException
        self._name, self._directory, self._root = name, directory, root
        self._server = libtmux.Server()
        self._panes: dict[str, str] = {}
        session = self._session()
        if session is not None and self._shown(session, OWNER) != str(directory):
            raise Refused(
                f"tmux has a session {name} that is not this crew's: rename it (tmux "
                f"rename-session -t {name} NAME), or use --headless"
            )

    def start(self, launch: Launch) -> int:
        """Start a member in a new window, or in the one in which it ended."""
        try:
            return self._start(launch)
        except self._failure as error:
            raise OSError(0, f"tmux: {error}") from error

    def _start(self, launch: Launch) -> int:
        command = self._command(launch)
        session = self._session() or self._new_session()
        pane = self._panes.get(launch.name) or self._new_window(session, launch)
        self._run("respawn-pane", "-k", "-t", pane, "-c", launch.directory, command)
        return int(self._tell(pane, "#{pane_pid}") or 0)

    def adopt(self, name: str, pid: int) -> bool:
        """Take over the window in which a member of an earlier supervisor runs, if there is one."""
        listed = self._run(
            "list-panes", "-s", "-t", f"={self._name}", "-F", "#{pane_id} #{pane_pid}"
        )
        found = [line.split()[0] for line in listed if line.split()[1:] == [str(pid)]]
        if found:
            self._panes[name] = found[0]
        return bool(found)

    def ask_to_end(self, name: str) -> None:
        self.send(name, signal.SIGTERM)

    def send(self, name: str, number: int) -> None:
        pid = int(self._tell(self._panes.get(name, ""), "#{pane_pid}") or 0)
        if pid > 1:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def reap(self, name: str) -> Exit:
        """How it ended. Its window stays for the next start, unless a person left it by /exit."""
        pane = self._panes.get(name, "")
        state = self._await_exit(pane)
        dead, status, killed = (*state.split(":"), "", "")[:3]
        if not dead:  # the window was closed
            self._panes.pop(name, None)
            return Exit(0)
        if killed.isdigit():
            return Exit(-int(killed))
        if status == "0":
            self._close_window(name)
        return Exit(int(status) if status.isdigit() else None)

    def _await_exit(self, pane: str) -> str:
        """The pane's exit in `EXIT_FORMAT`; "" if its window is closed.

        We may see a process end before tmux does, and tmux sees the terminal close before it knows
        the exit status.
        """
        end = time.monotonic() + NOTICES_WITHIN_S
        while (state := self._tell(pane, EXIT_FORMAT)).startswith("0") or state == EXIT_UNKNOWN:
            if time.monotonic() > end:
                break
            if state == EXIT_UNKNOWN:
                # A tmux with libutempter may have missed SIGCHLD (tmux#311); the end of another
                # child makes it look again.
                self._run("run-shell", "-b", ":")
            time.sleep(0.02)
        return state

    def _close_window(self, name: str) -> None:
        if pane := self._panes.pop(name, ""):
            self._run("kill-pane", "-t", pane)

    def error(self, name: str) -> str:  # noqa: ARG002 - the terminal shows it
        return ""

    def close(self) -> None:
        """End the session, with the window that shows the crew."""
        session = self._session()
        if session is not None and self._shown(session, OWNER) == str(self._directory):
            self._run("kill-session", "-t", f"={self._name}")

    def _new_session(self) -> Any:
        board = shlex.join(module_command("octet.cli", "-C", self._root, "status", "--watch"))
        session = self._server.new_session(
            self._name,
            start_directory=self._root,
            window_name=BOARD,
            window_command=board,
            x=200,
            y=50,
        )
        self._run("set-option", "-t", f"={self._name}:", OWNER, str(self._directory))
        return session

    def _new_window(self, session: Any, launch: Launch) -> str:
        """The pane of a new window, which stays when its program ends, however soon that is."""
        window = session.new_window(
            launch.name, start_directory=launch.directory, attach=False, window_shell="cat"
        )
        pane = self._panes[launch.name] = str(window.active_pane.pane_id)
        self._run("set-option", "-w", "-t", pane, "remain-on-exit", "on")
        self._run("set-option", "-w", "-t", pane, "automatic-rename", "off")
        return pane

    def _session(self) -> Any:
        """The tmux session; None where there is none, or no tmux server."""
        try:
            return self._server.sessions.get(session_name=self._name, default=None)
        except self._failure:
            return None

    def _shown(self, session: Any, option: str) -> str:
        return "\n".join(session.cmd("show-options", "-v", option).stdout)

    def _tell(self, pane: str, what: str) -> str:
        return "\n".join(self._run("display-message", "-p", "-t", pane, what)) if pane else ""

    def _run(self, *words: str) -> Sequence[str]:
        """Run one tmux command; its output, or () if it failed: its window may just have closed."""
        try:
            lines: Sequence[str] = self._server.cmd(*words).stdout
        except (self._failure, OSError):
            return ()
        return lines

    def _command(self, launch: Launch) -> str:
        path = self._directory / f"{launch.name}.env"
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            for name, value in launch.environment.items():
                if VARIABLE.fullmatch(name) and name not in SET_BY_TMUX:
                    file.write(f"export {name}={shlex.quote(value)}\n")
        return "exec " + shlex.join(
            [
                "/bin/sh",
                "-c",
                LOAD_ENVIRONMENT,
                "sh",
                str(path),
                launch.program,
                *launch.options,
                launch.prompt,
            ]
        )


def open_host(name: str, directory: Path, root: str) -> TmuxHost:
    """A host whose failures are errors of Octet.

    Raises:
        Refused: as `TmuxHost`, or tmux is too old.
    """
    try:
        return TmuxHost(name, directory, root)
    except OctetError:
        raise
    except Exception as error:
        raise Refused(
            f"tmux cannot be used ({error}): update it, or use `octet up --headless`"
        ) from error
