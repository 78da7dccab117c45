"""The git program, run through GitPython in one named directory; cold path only, never in a hook.

GitPython is used as a way to run the program and for nothing else: `octet.git.worktrees`,
`octet.merge` and their like are plain git commands.
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

# What would point git at another repository, index or object store than the directory's own. A git
# hook or `git rebase --exec` sets these for its children, and an agent's shell may have been
# started from one.
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
# No prompt or editor may hold up a process without a terminal, and no `gc` may stay behind in the
# background. Nor may a look at a checkout take its lock, which would stay there if the git that
# looks is killed.
QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "true",
    "GIT_MERGE_AUTOEDIT": "no",
    "GIT_OPTIONAL_LOCKS": "0",
}
NO_GC = ("-c", "gc.auto=0", "-c", "maintenance.auto=false")
NO_HOOKS = ("-c", "core.hooksPath=/dev/null")

# Messages of a git that met another git at work. Each is gone at the next try.
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
    """The git program is missing or answered with an error; the message is its own first line."""


@dataclass(frozen=True)
class Ran:
    """What one git command answered: exit status, standard output without its last newline,
    standard error.
    """

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The line of standard error that says what is wrong."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        marked = [line for line in lines if line.startswith(("fatal: ", "error: "))]
        first = (marked or lines or [f"git ended with status {self.status}"])[0]
        return first.removeprefix("fatal: ").removeprefix("error: ")


def neutral_environment() -> dict[str, str]:
    """This environment without what redirects git; for programs that may run git themselves."""
    return {name: value for name, value in os.environ.items() if name not in REDIRECTIONS}


@dataclass(frozen=True)
class Git:
    """The git program in one directory.

    Args:
        directory: any directory of the repository; it decides which worktree the command acts on.
        flags: options given to every command, before its name.
        variables: `NAME=value`, added to every command's environment.
    """

    directory: Path
    flags: tuple[str, ...] = field(default=())
    variables: tuple[str, ...] = field(default=())

    def run(self, *args: str, keep: tuple[int, ...] = ()) -> Ran:
        """Run one command to its end, whatever its exit status.

        Args:
            keep: descriptors that it and its children hold open as long as they live.

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
            GitFailed: it ended with an error.
        """
        ran = self.run(*args)
        if ran.status != 0:
            raise GitFailed(f"git {args[0]} in {self.directory}: {ran.complaint}")
        return ran.out

    def fed(self, text: bytes, *args: str) -> str:
        """Like `out`, with `text` on the command's standard input.

        Raises:
            GitFailed: it ended with an error.
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
        """`run` for a command that talks to another machine: at the end of the time it is killed
        with all that it started.

        It has no terminal, so that neither git nor ssh can ask anybody anything.
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
        """`run`, retried for some seconds while another git process holds one of git's locks."""
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
        """Object name of the commit that `revision` is, "" when there is none."""
        if revision.startswith("-"):
            raise UsageError(f"{revision!r} is no name of a branch or commit")
        return self.run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").out

    def contains(self, descendant: str, ancestor: str) -> bool:
        """Whether `ancestor` is part of the history of `descendant`."""
        return self.run("merge-base", "--is-ancestor", ancestor, descendant).status == 0

    def common_dir(self) -> Path:
        """The directory that all worktrees of the repository share."""
        return (self.directory / self.out("rev-parse", "--git-common-dir")).resolve()

    def path(self, name: str) -> Path:
        """Where git keeps `name` (`MERGE_HEAD`, `index.lock`) for this worktree."""
        return self.directory / self.out("rev-parse", "--git-path", name)

    @contextmanager
    def converse(self, *args: str, keep: tuple[int, ...] = ()) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command that is spoken to over its standard input; closing that ends it.

        Killed with this process or not, `git update-ref --stdin` then gives up what it has not
        committed.
        """
        from git.cmd import Git as Program

        # Typed as a file to read from; it goes to Popen as it is.
        pipe = cast(BinaryIO, subprocess.PIPE)
        handle = Program().execute(
            self._command(args), istream=pipe, as_process=True, env=QUIET, pass_fds=keep
        )
        assert handle.proc is not None
        with (
            handle.proc as process
        ):  # through `handle`, which ends the process when it is collected
            yield process

    def _command(self, args: tuple[str, ...]) -> list[str]:
        # `-C`, because GitPython falls back to the process's own directory where it cannot enter
        # the named one: that may be another repository. `env -u`, because it can add to the
        # environment and not take away.
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
    """Its output. An ssh that it leaves behind to be used again (ControlPersist) holds the pipes,
    and is not waited for.
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
