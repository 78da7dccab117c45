"""A machine of its own for one demo: home, state, embedded server, daemon and commands, all below
one temporary directory.

The person's daemon, server, settings and git configuration are neither used nor seen.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from octet.base import dirs
from octet.base.errors import OctetError
from octet.base.processes import processes_of
from octet.daemon.process import control
from octet.runtime.environment import module_command
from octet.store import embedded

# The variables that a program needs to run, and none that leads to the person's own Octet, git or
# Claude Code.
PASSED_ON = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")
CLEANED_WITHIN_S = 20.0


@dataclass(frozen=True)
class DemoSandbox:
    """`base` holds everything, and is removed; `root` is the sample repository's place."""

    base: Path
    root: Path
    environment: dict[str, str]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Set the sandbox's environment here: the library uses its state, server and daemon."""
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self.environment)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def stop_services(self) -> None:
        """End the daemon and the server. Call it in the sandbox's environment."""
        control.stop()
        embedded.stop_server()

    def processes(self, *, besides: Sequence[int] = ()) -> dict[int, str]:
        """The processes in the sandbox: pid → command line."""
        found = processes_of(self.base)
        return {pid: command for pid, command in found.items() if pid not in besides}


def make_sandbox(base: Path, root: Path | None) -> DemoSandbox:
    """Make the directories, the commands and the environment.

    Args:
        base: an empty directory, which holds everything.
        root: where the sample repository is kept; None: inside `base`, to be removed with it.
    """
    for name in ("home", "state", "bin"):
        (base / name).mkdir(mode=0o700)
    # bin/octet finds its virtual environment in the cache: a demo must not build or download one.
    cache = dirs.cache_dir()
    if cache.is_dir():
        (base / "state" / "cache").symlink_to(cache.resolve())
    _write_command(base / "bin" / "octet", "octet.__main__")
    environment = {
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        "HOME": str(base / "home"),
        "OCTET_HOME": str(base / "state"),
        "PATH": f"{base / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    return DemoSandbox(base, root or base / "pocket", environment)


@contextmanager
def cleaned_up(base: Path) -> Iterator[int]:
    """Have a process clean up what belongs to `base`, whatever ends this one; yields its pid."""
    # In a session of its own: Ctrl-C in the terminal must not end it before its work is done.
    cleanup = subprocess.Popen(
        module_command("octet.demo.cleanup", str(base)),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield cleanup.pid
    finally:
        assert cleanup.stdin is not None
        cleanup.stdin.close()
        try:
            cleanup.wait(CLEANED_WITHIN_S)
        except subprocess.TimeoutExpired as error:
            raise OctetError(
                f"the demo cannot be cleaned up: see what runs in {base}, and remove it"
            ) from error


def _write_command(path: Path, module: str) -> None:
    line = f'exec {shlex.join(module_command(module))} "$@"'
    path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    path.chmod(0o755)
