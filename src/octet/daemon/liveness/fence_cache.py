"""What git's hooks read before they ask the daemon: whether an agent may be above them at all.

A hook runs at every change of a ref, and to ask costs more than a commit does. So the daemon keeps
a file of shell assignments: processes of agents, repositories in which a branch is locked,
worktrees with their agents. It only saves questions: where it names something, the hook asks; where
it is out of date, a person is asked about once too often, or told of a lock too late.
"""

from __future__ import annotations

import logging
import shlex
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from octet.base.files import write_if_changed
from octet.base.process import ProcessIdentity, host_id
from octet.core.agents.registry import Agent

FILE = "fence"

log = logging.getLogger(__name__)


@dataclass
class FenceEntries:
    """What one project contributes."""

    # Processes of agents.
    pids: set[int] = field(default_factory=set)
    # The repository, where one of its branches is locked.
    held: set[str] = field(default_factory=set)
    # Worktrees, each with its agent's process, or its id where it has no process.
    trees: set[tuple[str, str]] = field(default_factory=set)

    def add(self, agent: Agent, process: ProcessIdentity | None) -> None:
        """Add an agent of this machine, and the worktree it is registered with."""
        if process:
            self.pids.add(process.pid)
        if agent.worktree and agent.host in ("", host_id()):
            self.trees.add((str(process.pid) if process else agent.id, agent.worktree))


class FenceCache:
    """The file in the state directory; thread-safe."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE
        self._lock = threading.Lock()
        self._pids: set[int] = set()

    def has(self, pid: int) -> bool:
        """Whether the file names a process."""
        return pid in self._pids

    def write(self, projects: Iterable[FenceEntries]) -> None:
        """Replace the file where it differs."""
        found = list(projects)
        pids = set().union(*(part.pids for part in found))
        held = set().union(*(part.held for part in found))
        trees = set().union(*(part.trees for part in found))
        text = _assign("pids", " ", map(str, sorted(pids))) + _assign("held", "\n", sorted(held))
        text += _assign("trees", "\n", (f"{agent} {path}" for agent, path in sorted(trees)))
        with self._lock:
            try:
                write_if_changed(self._path, text)
                self._pids = pids
            except OSError as error:
                log.warning("cannot write %s: %s", self._path, error)


def _assign(name: str, separator: str, words: Iterable[str]) -> str:
    """`octet_NAME=' a b '`: each word between two separators, so that a shell finds it whole."""
    joined = "".join(f"{separator}{word}" for word in words)
    return f"octet_{name}={shlex.quote(joined + separator if joined else '')}\n"
