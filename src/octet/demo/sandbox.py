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

# What a program needs to run, and nothing that would lead back to the person's own Octet, git or
# Claude Code.
PASSED_ON = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")
LEAVE_WITHIN_S = 20.0


@dataclass(frozen=True)
class Sandbox:
    """`base` holds everything and is removed at the end; `root` is where the sample repository
    goes.
    """

    base: Path
    root: Path
    environment: dict[str, str]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This process in the sandbox's environment, so that the library finds its state, server
        and daemon.
        """
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self.environment)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def stop_services(self) -> None:
        """End daemon and server; to be called in the sandbox's environment."""
        control.stop()
        embedded.stop_server()

    def processes(self, *, besides: Sequence[int] = ()) -> dict[int, str]:
        """What runs in the sandbox: pid → command line."""
        return {
            pid: command for pid, command in processes_of(self.base).items() if pid not in besides
        }


def make_sandbox(base: Path, root: Path | None) -> Sandbox:
    """Make the directories, the commands and the environment.

    Args:
        base: an empty directory, which holds everything.
        root: where the sample repository is to be kept; None: inside, to be removed with everything
            else.
    """
    for name in ("home", "state", "bin"):
        (base / name).mkdir(mode=0o700)
    # bin/octet finds its virtual environment by the cache: nothing shall be built or downloaded for
    # a demo.
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
    return Sandbox(base, root or base / "pocket", environment)


@contextmanager
def watched(base: Path) -> Iterator[int]:
    """Have a keeper clean up what belongs to `base`, whatever ends this process; yields the
    keeper's pid.
    """
    # In a session of its own: Ctrl-C in the terminal must not end it before it has done its work.
    keeper = subprocess.Popen(
        module_command("octet.demo.keeper", str(base)),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield keeper.pid
    finally:
        assert keeper.stdin is not None
        keeper.stdin.close()
        try:
            keeper.wait(LEAVE_WITHIN_S)
        except subprocess.TimeoutExpired as error:
            raise OctetError(
                f"the demo cannot be cleaned up: see what runs in {base}, and remove it"
            ) from error


def _write_command(path: Path, module: str) -> None:
    path.write_text(
        f'#!/bin/sh\nexec {shlex.join(module_command(module))} "$@"\n', encoding="utf-8"
    )
    path.chmod(0o755)
