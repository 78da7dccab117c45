"""The git program, run through GitPython in one named directory; cold path only, never in a hook.

GitPython runs the program and does nothing else: docs/adr/0001-gitpython.md says why.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, cast

from octet.base.commands import kill_group
from octet.base.errors import OctetError, UsageError

# Variables that point git at another repository, index or object store than the directory's own. A
# git hook or `git rebase --exec` sets these for its children, and an agent's shell may be one.
REDIRECTIONS = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
# No prompt or editor may block a process that no person watches, and no `gc` may stay behind in the
# background. Reading a checkout must not take its lock, which would stay if that git is killed.
QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "true",
    "GIT_MERGE_AUTOEDIT": "no",
    "GIT_OPTIONAL_LOCKS": "0",
}
NO_GC = ("-c", "gc.auto=0", "-c", "maintenance.auto=false")
NO_HOOKS = ("-c", "core.hooksPath=/dev/null")

# Messages of a git that met another git at work. A later try succeeds.
BUSY = (
    "unable to create",  # Unable to create '….lock': File exists
    "could not lock config file",
    "cannot lock ref",
    "failed to read",  # …/worktrees/x/commondir, of a worktree that another process is adding
    "another git process",
)
BUSY_DEADLINE_S = 10.0
_LISTEN_S = 1.0


class GitFailed(OctetError):
    """The git program is missing, or failed; the message has the line in which it says why."""


@dataclass(frozen=True)
class Ran:
    """A finished git command: exit status, output without its last newline, standard error."""

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The line of standard error that says why it failed."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        marked = [line for line in lines if line.startswith(("fatal: ", "error: "))]
        first = (marked or lines or [f"git ended with status {self.status}"])[0]
        return first.removeprefix("fatal: ").removeprefix("error: ")


def neutral_environment() -> dict[str, str]:
    """This process's environment without `REDIRECTIONS`, for programs that may run git."""
    return {name: value for name, value in os.environ.items() if name not in REDIRECTIONS}


@dataclass(frozen=True)
class Git:
    """The git program in one directory.

    Args:
        directory: a directory of the repository; the command acts on the worktree around it.
        flags: options given to every command, before its name.
        variables: `NAME=value`, added to every command's environment.
    """

    directory: Path
    flags: tuple[str, ...] = field(default=())
    variables: tuple[str, ...] = field(default=())

    def run(self, *args: str, keep: tuple[int, ...] = ()) -> Ran:
        """Run one command to its end; a failure is a result too.

        Args:
            keep: descriptors that the command and its children inherit.

        Raises:
            GitFailed: there is no git program.
        """
        from git.cmd import Git as Program

        answer = Program().execute(
            self._command(args),
            with_extended_output=True,
            with_exceptions=False,
            env=QUIET,
            pass_fds=keep,
        )
        return Ran(*answer)

    def out(self, *args: str) -> str:
        """Run one command that must succeed; its standard output.

        Raises:
            GitFailed: it failed.
        """
        ran = self.run(*args)
        if ran.status != 0:
            raise GitFailed(f"git {args[0]} in {self.directory}: {ran.complaint}")
        return ran.out

    def fed(self, text: bytes, *args: str) -> str:
        """`out`, with `text` on the command's standard input.

        Raises:
            GitFailed: it failed.
        """
        from git.cmd import Git as Program

        with tempfile.TemporaryFile() as file:
            file.write(text)
            file.seek(0)
            command = self._command(args)
            answer = Program().execute(
                command,
                istream=cast(BinaryIO, file),
                with_extended_output=True,
                with_exceptions=False,
                env=QUIET,
            )
        ran = Ran(*answer)
        if ran.status != 0:
            raise GitFailed(f"git {args[0]} in {self.directory}: {ran.complaint}")
        return ran.out

    def within(self, limit_s: float, *args: str) -> Ran:
        """`run` for a command that talks to another machine: killed, with its children, in time.

        It has no terminal, so that neither git nor ssh can ask a person.
        """
        from git.cmd import Git as Program

        handle = Program().execute(
            self._command(args), as_process=True, env=QUIET, start_new_session=True
        )
        assert handle.proc is not None
        try:
            out, err = _listen(handle.proc, limit_s)
        except subprocess.TimeoutExpired:
            return Ran(-signal.SIGKILL, "", f"fatal: no answer within {limit_s:g} s")
        finally:
            kill_group(handle.proc)
        return Ran(
            handle.proc.returncode,
            out.decode(errors="surrogateescape").rstrip("\n"),
            err.decode(errors="replace"),
        )

    def patient(self, *args: str, keep: tuple[int, ...] = ()) -> Ran:
        """`run`, repeated for some seconds while another git process holds one of git's locks."""
        deadline = time.monotonic() + BUSY_DEADLINE_S
        pause = 0.02
        while True:
            ran = self.run(*args, keep=keep)
            if (
                ran.status == 0
                or not any(sign in ran.err.lower() for sign in BUSY)
                or time.monotonic() > deadline
            ):
                return ran
            time.sleep(pause)
            pause = min(pause * 2, 0.5)

    def at(self, directory: Path, *flags: str) -> Git:
        """The same program in another directory, with more flags."""
        return replace(self, directory=directory, flags=self.flags + flags)

    def having(self, **variables: str) -> Git:
        """The same program with more variables in its environment."""
        return replace(
            self,
            variables=self.variables
            + tuple(f"{name}={value}" for name, value in variables.items()),
        )

    def commit(self, revision: str) -> str:
        """The object name of the commit `revision`; "" when there is none."""
        if revision.startswith("-"):
            raise UsageError(f"{revision!r} is no name of a branch or commit")
        return self.run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").out

    def contains(self, descendant: str, ancestor: str) -> bool:
        """Whether the history of `descendant` contains `ancestor`."""
        return self.run("merge-base", "--is-ancestor", ancestor, descendant).status == 0

    def common_dir(self) -> Path:
        """The directory that all worktrees of the repository share."""
        return (self.directory / self.out("rev-parse", "--git-common-dir")).resolve()

    def path(self, name: str) -> Path:
        """Where git keeps `name` (`MERGE_HEAD`, `index.lock`) for this worktree."""
        return self.directory / self.out("rev-parse", "--git-path", name)

    @contextmanager
    def converse(self, *args: str, keep: tuple[int, ...] = ()) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command that reads orders from its standard input; closing that ends it.

        So does a kill of this process: `git update-ref --stdin` then drops what is not committed.
        """
        from git.cmd import Git as Program

        # Typed as a file to read from; it goes to Popen as it is.
        pipe = cast(BinaryIO, subprocess.PIPE)
        handle = Program().execute(
            self._command(args), istream=pipe, as_process=True, env=QUIET, pass_fds=keep
        )
        assert handle.proc is not None
        # `handle` ends the process when it is garbage-collected: it has to live as long.
        with handle.proc as process:
            yield process

    def _command(self, args: tuple[str, ...]) -> list[str]:
        # `-C`, because GitPython falls back to this process's directory when it cannot enter the
        # named one, and that may be another repository. `env -u`, because GitPython can only add
        # variables.
        program = shutil.which("git")
        if program is None:
            raise GitFailed("git is not on PATH: install it")
        unset = [word for name in REDIRECTIONS if name in os.environ for word in ("-u", name)]
        return [
            "env",
            *unset,
            *self.variables,
            program,
            "-C",
            str(self.directory),
            *NO_GC,
            *self.flags,
            *args,
        ]


def _listen(process: subprocess.Popen[bytes], limit_s: float) -> tuple[bytes, bytes]:
    """Its output. An ssh that stays for later use (ControlPersist) keeps the pipes open: it is not
    waited for.
    """
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return process.communicate(
                timeout=max(0.0, min(_LISTEN_S, deadline - time.monotonic()))
            )
        except subprocess.TimeoutExpired as silence:
            if process.poll() is not None:
                return silence.output or b"", silence.stderr or b""
            if time.monotonic() > deadline:
                raise
