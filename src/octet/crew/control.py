"""What `octet up` and `octet down` share: one of them at a time, and the supervisor that carries
out what they write.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from filelock import FileLock, Timeout

from octet.base.errors import OctetError, Refused
from octet.base.process import ProcessIdentity
from octet.crew import client
from octet.crew.record import CrewDirectory
from octet.runtime import detach
from octet.runtime.environment import module_command
from octet.store.connection import URL_VARIABLE

ENDS_WITHIN_S = 30.0
OTHERS_WITHIN_S = 600.0
POLL_S = 0.1
MAX_WORDS = 200


@contextmanager
def exclusive(directory: CrewDirectory) -> Iterator[None]:
    """One `octet up` or `octet down` of a project at a time.

    Raises:
        Refused: another one takes too long.
    """
    directory.create()
    try:
        with FileLock(directory.path / "up.lock", timeout=OTHERS_WITHIN_S):
            yield
    except Timeout as error:
        raise Refused(
            "another `octet up` or `octet down` of this project is running: wait for it, or end it"
        ) from error


def ensure_supervisor(directory: CrewDirectory, url: str = "") -> None:
    """Make sure that a supervisor lives and has read the current `wanted.json`.

    Args:
        url: the store's, if the command line named it: the sessions of a new supervisor use it too.
    """
    if not _launch_if_free(directory, url):
        notify_supervisor(directory)


def notify_supervisor(directory: CrewDirectory) -> None:
    """Make the supervisor read `wanted.json`; harmless without one."""
    report = directory.read_report()
    if report and report.alive and directory.is_supervised():
        with suppress(ProcessLookupError):
            os.kill(ProcessIdentity.parse(report.supervisor).pid, signal.SIGUSR1)


def _launch_if_free(directory: CrewDirectory, url: str) -> bool:
    """Start a supervisor unless one lives; whether one was started."""
    with directory.try_lock() as lock:
        if lock is None:
            return False
        path = directory.path / "supervisor.err"
        errors = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            command = module_command("octet.crew.supervisor", str(directory.path), str(lock))
            environment = client.persons_environment(os.environ)
            if url:
                environment[URL_VARIABLE] = url
            detach.launch(command, (lock,), environment=environment, errors=errors)
        finally:
            os.close(errors)
        return True


def last_words(directory: CrewDirectory) -> str:
    """The last line that the supervisor wrote before it ended."""
    try:
        text = (directory.path / "supervisor.err").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    lines = text.strip().splitlines()
    return lines[-1][:MAX_WORDS] if lines else "no error was written"


def await_end(directory: CrewDirectory, within_s: float = ENDS_WITHIN_S) -> None:
    """Wait for the end of the supervisor, which ends after its last member.

    Raises:
        OctetError: it does not end.
    """
    end = time.monotonic() + within_s
    while directory.is_supervised():
        if time.monotonic() > end:
            raise OctetError(
                f"the crew does not end: see {directory.path}/supervisor.log, then try "
                "`octet down --now`"
            )
        notify_supervisor(directory)
        time.sleep(POLL_S)


def remove_run_files(directory: CrewDirectory) -> None:
    """Remove the files that only running members need; logs stay."""
    for place in (directory.path / "settings", directory.scratch()):
        shutil.rmtree(place, ignore_errors=True)
    for path in directory.path.glob("*.env"):
        path.unlink(missing_ok=True)
