"""Members of a crew in windows of a tmux session, where people can watch them and type. The only
module that imports libtmux.

The windows belong to the tmux server: they live on when this process is killed, and its successor
takes them over.
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
from octet.crew.hosts import Ended, Start
from octet.runtime.environment import module_command

BOARD = "board"
NOTICES_WITHIN_S = 3.0
HOW_IT_ENDED, DEAD_SOMEHOW = "#{pane_dead}:#{pane_dead_status}:#{pane_dead_signal}", "1::"
OWNER = "@octet_crew"  # an option of the session: the directory of the crew whose it is
# The environment comes by a file that the shell removes at once, because a command line can be read
# by everybody on the machine.
ENTER = '. "$1"; rm -f "$1"; shift; exec "$@"'
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What tmux says to the programs in its windows.
OF_TMUX = frozenset(
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
    """See that there is a tmux.

    Raises:
        UsageError: there is none.
    """
    if shutil.which("tmux") is None:
        raise UsageError(
            "there is no tmux: install it (apt install tmux, brew install tmux), or `octet "
            "up --headless`"
        )


def session_name(project: str) -> str:
    """The tmux session of a project; tmux takes `.` and `:` for separators."""
    return re.sub(r"[.:]", "-", project)


class TmuxHost:
    """Members as `claude` in a window each.

    Args:
        name: of the tmux session.
        directory: of the crew.
        root: of the repository; the first window shows its state.

    Raises:
        Refused: there is a session of that name that is none of this crew's, or tmux does not do
            what it is told.
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
                f"rename-session -t {name} NAME), or --headless"
            )

    def start(self, wanted: Start) -> int:
        """Start a member in its window: a new one, or that in which it has ended."""
        try:
            return self._start(wanted)
        except self._failure as error:
            raise OSError(0, f"tmux: {error}") from error

    def _start(self, wanted: Start) -> int:
        command = self._command(wanted)
        session = self._session() or self._new_session()
        pane = self._panes.get(wanted.name) or self._new_window(session, wanted)
        self._run("respawn-pane", "-k", "-t", pane, "-c", wanted.directory, command)
        return int(self._tell(pane, "#{pane_pid}") or 0)

    def adopt(self, name: str, pid: int) -> bool:
        """Take over the window in which a member of an earlier supervisor runs; whether there is
        one.
        """
        listed = self._run(
            "list-panes", "-s", "-t", f"={self._name}", "-F", "#{pane_id} #{pane_pid}"
        )
        found = [line.split()[0] for line in listed if line.split()[1:] == [str(pid)]]
        if found:
            self._panes[name] = found[0]
        return bool(found)

    def hang_up(self, name: str) -> None:
        self.send(name, signal.SIGTERM)

    def send(self, name: str, number: int) -> None:
        pid = int(self._tell(self._panes.get(name, ""), "#{pane_pid}") or 0)
        if pid > 1:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def bury(self, name: str) -> Ended:
        """How it ended. Its window stays for the next start, unless a person left it by /exit."""
        pane = self._panes.get(name, "")
        end = time.monotonic() + NOTICES_WITHIN_S
        # We may have seen it end before tmux did, and tmux sees the terminal closed before it knows
        # how the process ended.
        while (said := self._tell(pane, HOW_IT_ENDED)).startswith("0") or said == DEAD_SOMEHOW:
            if time.monotonic() > end:
                break
            if said == DEAD_SOMEHOW:
                self._run(
                    "run-shell", "-b", ":"
                )  # a tmux with libutempter may have missed SIGCHLD (tmux#311); with the next it looks
            time.sleep(0.02)
        dead, status, killed = (*said.split(":"), "", "")[:3]
        if not dead:  # the window was closed
            self._panes.pop(name, None)
            return Ended(0)
        ended = Ended(
            -int(killed) if killed.isdigit() else int(status) if status.isdigit() else None
        )
        if ended.status == 0:
            self.forget(name)
        return ended

    def forget(self, name: str) -> None:
        """Close a member's window."""
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

    def _new_window(self, session: Any, wanted: Start) -> str:
        """The pane of a window that stays when what runs in it ends, however soon that is."""
        window = session.new_window(
            wanted.name, start_directory=wanted.directory, attach=False, window_shell="cat"
        )
        pane = self._panes[wanted.name] = str(window.active_pane.pane_id)
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
        """One command of tmux; what it printed, nothing where it failed: the window it is about may
        just have been closed.
        """
        try:
            lines: Sequence[str] = self._server.cmd(*words).stdout
        except (self._failure, OSError):
            return ()
        return lines

    def _command(self, wanted: Start) -> str:
        path = self._directory / f"{wanted.name}.env"
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            for name, value in wanted.environment.items():
                if VARIABLE.fullmatch(name) and name not in OF_TMUX:
                    file.write(f"export {name}={shlex.quote(value)}\n")
        return "exec " + shlex.join(
            [
                "/bin/sh",
                "-c",
                ENTER,
                "sh",
                str(path),
                wanted.program,
                *wanted.options,
                wanted.prompt,
            ]
        )


def open_host(name: str, directory: Path, root: str) -> TmuxHost:
    """The host, every failure of tmux as an error of ours.

    Raises:
        Refused: as `TmuxHost`; or tmux is too old.
    """
    try:
        return TmuxHost(name, directory, root)
    except OctetError:
        raise
    except Exception as error:
        raise Refused(
            f"tmux cannot be used ({error}): update it, or `octet up --headless`"
        ) from error
