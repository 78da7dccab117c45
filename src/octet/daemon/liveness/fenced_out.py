"""Agents that were declared dead while they lived: a laptop that slept, a process that stood still,
a cut link.

Each hook of one that comes back says that it has lost its task and what became of it, and a write
in that task's worktree is refused, until it has taken other work. Its unfinished work, which nobody
elsewhere could save, is kept now.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from octet.base.errors import NotFound
from octet.base.text import age, plain
from octet.client.api import Octet
from octet.core.agents.registry import Agent, ExpiryRecord
from octet.core.tasks.record import Task, TaskState
from octet.daemon.liveness.rescuer import Rescuer
from octet.daemon.projects.sessions import ProjectSession
from octet.git.snapshot import RESCUE
from octet.guard import policy
from octet.guard.paths import worktree_resource
from octet.worktree.ownership import claim_worktrees

_OVER = frozenset({TaskState.DONE, TaskState.CANCELLED, TaskState.DEAD})
_MOST_KNOWN = 1000
_MOST_TOLD = 3


@dataclass
class _Loss:
    """What a returned agent lost, the worktrees in which it had it, and how often each event has
    told it.
    """

    burial: ExpiryRecord
    worktrees: dict[str, str]  # lock → path
    told: Counter[str] = field(default_factory=Counter)


class FencedOut:
    """Knows of the agents of this daemon which of them has come back from the dead; thread-safe."""

    def __init__(self, rescuer: Rescuer) -> None:
        self._rescuer = rescuer
        self._losses: dict[tuple[str, ...], _Loss | None] = {}
        self._lock = threading.Lock()

    def refuse(
        self, project: ProjectSession, agent: Agent, needs: policy.Needs
    ) -> policy.Verdict | None:
        """A denial for a write in the worktree of a task that was lost; None for anything else."""
        loss = self._find(project, agent)
        if loss is None or not loss.worktrees.keys() & set(needs.resources):
            return None
        said = self._say(project, agent, loss)
        return policy.Verdict("deny", said) if said else None

    def tell(self, project: ProjectSession, agent: Agent, event: str) -> str:
        """What became of its work, a few times at each kind of event; "" for an agent that lost
        nothing.

        Once is too little: a link that has just come back is slow, and a client does not wait long
        for what a hook says.
        """
        loss = self._find(project, agent)
        if loss is None or loss.told[event] >= _MOST_TOLD:
            return ""
        loss.told[event] += 1
        return self._say(project, agent, loss)

    def _find(self, project: ProjectSession, agent: Agent) -> _Loss | None:
        """From memory after the first time: what an incarnation lost before it began does not
        change.
        """
        if not agent.process:
            return None
        key = (project.name, project.url or "", agent.process, agent.incarnation)
        with self._lock:
            if key in self._losses:
                return self._losses[key]
        burial = project.connected().agents.expiry(agent.process)
        loss = self._take_stock(project.connected(), burial) if burial else None
        with self._lock:
            if len(self._losses) > _MOST_KNOWN:
                self._losses.clear()
            return self._losses.setdefault(key, loss)

    def _take_stock(self, octet: Octet, burial: ExpiryRecord) -> _Loss:
        lost = list(_tasks(octet, burial))
        worktrees: dict[str, str] = {}
        if octet.project and octet.project.common_dir:
            for task, _ in lost:
                worktrees |= {
                    worktree_resource(found): str(found.path)
                    for found in claim_worktrees(octet.project, burial.agent, task)
                }
        self._rescuer.save_lost(octet, burial.agent, lost)
        return _Loss(burial, worktrees)

    def _say(self, project: ProjectSession, agent: Agent, loss: _Loss) -> str:
        """What it is told; "" for one that lost nothing, or holds a task again, or whose work is
        over: it is past this.
        """
        octet, burial = project.connected(), loss.burial
        lost = list(_tasks(octet, burial))
        tasks = [task for task, _ in lost]
        nothing = not tasks and not burial.locks
        if (
            nothing
            or octet.tasks.held_by(agent.id)
            or (tasks and all(task.state in _OVER for task in tasks))
        ):
            loss.worktrees.clear()
            octet.agents.forget_expiry(agent.process)
            return ""
        ago = age(burial.at_ms, octet.now_ms())
        said = [
            "Octet: this machine was not heard of for too long, and "
            f"{plain(burial.agent.id, 80)} was declared dead {ago} ago."
        ]
        said += [_fate(task, attempt) for task, attempt in lost]
        if burial.locks:
            said.append(
                f"Its {burial.locks} lock{'s were' if burial.locks != 1 else ' was'} freed: "
                "read a file again before you change it."
            )
        if tasks:
            where = (
                f", and write nothing more in {', '.join(map(plain, loss.worktrees.values()))}"
                if loss.worktrees
                else ""
            )
            said.append(
                f"Stop that work{where}. `octet task claim` gives you other work, or the "
                "same again where it waits."
            )
        return " ".join(said)


def _tasks(octet: Octet, burial: ExpiryRecord) -> Iterator[tuple[Task, int]]:
    """The tasks as they are now, each with the attempt that was lost."""
    for name, attempt in burial.tasks:
        try:
            yield octet.tasks.get(name), attempt
        except NotFound:
            continue


def _fate(task: Task, attempt: int) -> str:
    name = f'task {task.id} ("{plain(task.title, 120)}")'
    if task.holder:
        now = (
            f"{plain(task.holder, 80)} has it now ({task.state}); agree with it by `octet msg "
            f"send {plain(task.holder, 80)} …`"
        )
    elif task.state == TaskState.PENDING:
        now = "it waits to be claimed again"
    else:
        now = f"it is {plain(task.state, 40)} now"
    kept = " What you had not finished, if anything, is being kept."
    if f"{task.rescue_ref}-".startswith(f"{RESCUE}{task.id}/{attempt}-"):
        kept = (
            f" What you had not finished is kept as {plain(task.rescue_ref)} "
            f"({plain(task.rescue_size)})."
        )
    return f"You lost {name}: {now}.{kept}"
