"""Writes that nobody could see coming: files that another agent holds, looked at before and after a
shell command.

The look before is taken on a thread of its own while the command starts, and costs one script call
and a `stat` for each file that others hold in the shared checkout; where nobody holds any, there is
none after. What the holder itself wrote meanwhile does not count.
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
from octet.daemon.projects.sessions import ProjectSession

log = logging.getLogger("octet.watch")

MOST_FILES = 2000
MOST_RUNNING = 200
WAIT_S = 0.05
# From a holder's PreToolUse to its write: an edit that was let through just before the look.
SLACK_S = 2.0

Stamp = tuple[int, ...]
Call = tuple[int, str]


class Intrusion(NamedTuple):
    """A file that changed while a command ran, and the lock of another agent that covers it."""

    path: str
    lock: Lock


@dataclass(frozen=True)
class _Look:
    began_s: float
    files: Mapping[str, tuple[Stamp, Lock]]


class Watch:
    """The shell commands that run now, in all projects of this machine; thread-safe."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "octet-watch")
        self._looks: dict[Call, Future[_Look]] = {}
        self._running: dict[Call, tuple[str, str, frozenset[str]]] = {}
        self._written: dict[tuple[str, str, str], float] = {}
        self._lock = threading.Lock()

    def wrote(
        self,
        project: ProjectSession,
        agent: Agent,
        resources: Sequence[str],
        call: Call | None = None,
    ) -> None:
        """The agent writes these now; until `call` ends where it is a shell command."""
        now = time.monotonic()
        with self._lock:
            if len(self._written) > MOST_FILES:
                self._written = {key: at for key, at in self._written.items() if now - at < 3600}
            if call:
                self._running[call] = (project.name, agent.id, frozenset(resources))
                if len(self._running) > MOST_RUNNING:
                    self._running.pop(
                        next(iter(self._running))
                    )  # one that was interrupted: its end was never told
            else:
                self._written |= {
                    (project.name, agent.id, resource): now + SLACK_S for resource in resources
                }

    def begin(self, project: ProjectSession, agent: Agent, call: Call) -> None:
        """A shell command of the agent is about to run; returns at once."""
        with self._lock:
            if (
                len(self._looks) < MOST_RUNNING
                and project.octet
                and time.monotonic() >= project.down_until
            ):
                self._looks[call] = self._pool.submit(_look, project, agent)
            elif len(self._looks) >= MOST_RUNNING:
                self._looks.clear()  # interrupted commands never end

    def end(self, project: ProjectSession, call: Call) -> Sequence[Intrusion]:
        """The command has ended: what it changed of others'; () where the look before was not ready
        in time.
        """
        with self._lock:
            look = self._looks.pop(call, None)
            if own := self._running.pop(call, None):
                now = time.monotonic()
                self._written |= {(own[0], own[1], resource): now for resource in own[2]}
        try:
            before = look.result(WAIT_S) if look else None
        except (OctetError, FutureTimeout) as error:
            log.info("no look at what others hold: %s", error)
            return ()
        if before is None:
            return ()
        changed = [
            (path, lock)
            for path, (stamp, lock) in before.files.items()
            if _stamp(project.root / path) != stamp
        ]
        return [
            Intrusion(path, lock)
            for path, lock in changed
            if not self._own(project, lock, before.began_s)
        ]

    def _own(self, project: ProjectSession, lock: Lock, since_s: float) -> bool:
        """Whether the holder may have written it itself."""
        name = project.name
        with self._lock:
            if self._written.get((name, lock.holder, lock.resource), 0.0) > since_s:
                return True
            running = [
                (agent, resources)
                for project, agent, resources in self._running.values()
                if project == name
            ]
        return any(
            agent == lock.holder and lock.resource in resources for agent, resources in running
        )


def _look(project: ProjectSession, agent: Agent) -> _Look:
    began_s = time.monotonic()
    locks = project.connected().locks.list()
    held = [
        lock
        for lock in locks
        if lock.resource.startswith("path:") and lock.holder not in (agent.id, agent.parent)
    ]
    files: dict[str, tuple[Stamp, Lock]] = {}
    for lock in held:
        for path in _files(project.root, lock.resource.removeprefix("path:")):
            if len(files) >= MOST_FILES:
                return _Look(began_s, files)
            files[path] = (_stamp(project.root / path), lock)
    return _Look(began_s, files)


def _files(root: Path, held: str) -> Iterator[str]:
    """The files that a held path stands for: itself, or what lies in the directory or matches the
    pattern.
    """
    begin = held
    while any(character in begin for character in "*?["):
        begin = begin.rpartition("/")[0]
    if not (root / begin).is_dir():
        yield held
        return
    for directory, names, files in os.walk(root / begin):
        names[:] = [name for name in names if name != ".git"]
        for name in files:
            path = os.path.relpath(os.path.join(directory, name), root)  # noqa: PTH118 - as os.walk gives it
            if begin == held or matches(path, held):
                yield path


def _stamp(path: Path) -> Stamp:
    try:
        found = path.lstat()
    except (OSError, ValueError):
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino)
