"""Files of other agents that a shell command changed, though its text did not say so.

A snapshot of the files that others have locked in the shared checkout is taken when the command
starts, and compared when it has ended. It is taken on a thread of its own while the command starts,
and costs one script call and a `stat` a file; without such files there is nothing to compare. What
the holder itself wrote meanwhile does not count.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from octet.base.errors import OctetError
from octet.base.globs import matches
from octet.core.agents.registry import Agent
from octet.core.locks.locks import Lock
from octet.daemon.projects.sessions import ProjectKey, ProjectSession

log = logging.getLogger(__name__)

MAX_FILES = 2000
MAX_RUNNING = 200
WAIT_S = 0.05
# From a holder's PreToolUse to its write: an edit that was allowed just before the snapshot.
SLACK_S = 2.0

FileStamp = tuple[int, ...]
# The client's process and the tool call's id.
CommandKey = tuple[int, str]


class Overwrite(NamedTuple):
    """A file that changed while a command ran, and the lock of another agent that covers it."""

    path: str
    lock: Lock


@dataclass(frozen=True)
class _Snapshot:
    began_s: float
    files: Mapping[str, tuple[FileStamp, Lock]]


@dataclass(frozen=True)
class _Running:
    """A shell command, and what the guard saw it write."""

    project: ProjectKey
    agent: str
    resources: frozenset[str]


class OverwriteDetector:
    """Watches the shell commands that run now, in all projects of this machine; thread-safe."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "octet-overwrites")
        self._snapshots: dict[CommandKey, Future[_Snapshot]] = {}
        self._running: dict[CommandKey, _Running] = {}
        # When an agent last wrote a resource.
        self._written: dict[tuple[ProjectKey, str, str], float] = {}
        self._lock = threading.Lock()

    def note_write(
        self,
        project: ProjectSession,
        agent: Agent,
        resources: Sequence[str],
        command: CommandKey | None = None,
    ) -> None:
        """The agent writes these now; with a shell command, until that ends."""
        now = time.monotonic()
        with self._lock:
            if len(self._written) > MAX_FILES:
                self._written = {key: at for key, at in self._written.items() if now - at < 3600}
            if not command:
                self._written |= {
                    (project.key, agent.id, resource): now + SLACK_S for resource in resources
                }
                return
            self._running[command] = _Running(project.key, agent.id, frozenset(resources))
            if len(self._running) > MAX_RUNNING:
                # An interrupted command: its end is never told.
                self._running.pop(next(iter(self._running)))

    def begin(self, project: ProjectSession, agent: Agent, command: CommandKey) -> None:
        """A shell command of the agent is about to run; returns at once."""
        with self._lock:
            if len(self._snapshots) >= MAX_RUNNING:
                self._snapshots.clear()  # interrupted commands never end
            elif project.octet and time.monotonic() >= project.down_until:
                self._snapshots[command] = self._pool.submit(_take_snapshot, project, agent)

    def end(self, project: ProjectSession, command: CommandKey) -> Sequence[Overwrite]:
        """The command has ended: what it overwrote; () where the snapshot was not ready."""
        before = self._end_command(command)
        if before is None:
            return ()
        return [
            Overwrite(path, lock)
            for path, (stamp, lock) in before.files.items()
            if _stamp(project.root / path) != stamp
            and not self._may_be_holders(project, lock, before.began_s)
        ]

    def _end_command(self, command: CommandKey) -> _Snapshot | None:
        with self._lock:
            snapshot = self._snapshots.pop(command, None)
            if own := self._running.pop(command, None):
                now = time.monotonic()
                self._written |= {(own.project, own.agent, name): now for name in own.resources}
        try:
            return snapshot.result(WAIT_S) if snapshot else None
        except (OctetError, FutureTimeout) as error:
            log.info("no snapshot of the files that others hold: %s", error)
            return None

    def _may_be_holders(self, project: ProjectSession, lock: Lock, since_s: float) -> bool:
        """Whether the holder may have written the file itself."""
        with self._lock:
            written_s = self._written.get((project.key, lock.holder, lock.resource), 0.0)
            running = list(self._running.values())
        return written_s > since_s or any(
            (each.project, each.agent) == (project.key, lock.holder)
            and lock.resource in each.resources
            for each in running
        )


def _take_snapshot(project: ProjectSession, agent: Agent) -> _Snapshot:
    began_s = time.monotonic()
    held = [
        lock
        for lock in project.connected().locks.list()
        if lock.resource.startswith("path:") and lock.holder not in (agent.id, agent.parent)
    ]
    files: dict[str, tuple[FileStamp, Lock]] = {}
    for lock in held:
        for path in _files(project.root, lock.resource.removeprefix("path:")):
            if len(files) >= MAX_FILES:
                return _Snapshot(began_s, files)
            files[path] = (_stamp(project.root / path), lock)
    return _Snapshot(began_s, files)


def _files(root: Path, locked: str) -> Iterator[str]:
    """The files that a locked path covers: itself, a directory's, or those that match a pattern."""
    begin = locked
    while any(character in begin for character in "*?["):
        begin = begin.rpartition("/")[0]
    if not (root / begin).is_dir():
        yield locked
        return
    for directory, names, files in os.walk(root / begin):
        names[:] = [name for name in names if name != ".git"]
        for name in files:
            path = os.path.relpath(os.path.join(directory, name), root)  # noqa: PTH118 - as os.walk gives it
            if begin == locked or matches(path, locked):
                yield path


def _stamp(path: Path) -> FileStamp:
    try:
        found = path.lstat()
    except (OSError, ValueError):
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino)
