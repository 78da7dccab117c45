"""Agents declared dead while they lived: a laptop slept, a process stood still, a link was cut.

When such an agent comes back, each of its hooks says that it has lost its task and what became of
it, and a write in that task's worktree is refused until it has taken other work. Its unfinished
work, which no other machine could save, is saved now.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from octet.base.errors import NotFound
from octet.base.text import age, plain
from octet.client.api import Octet
from octet.core.agents.registry import Agent, ExpiryRecord
from octet.core.tasks.record import Task, TaskState
from octet.daemon.liveness.rescuer import Rescuer
from octet.daemon.projects.sessions import ProjectKey, ProjectSession
from octet.git.snapshot import RESCUE
from octet.guard import policy
from octet.guard.paths import worktree_resource
from octet.worktree.ownership import claim_worktrees

_OVER = frozenset({TaskState.DONE, TaskState.CANCELLED, TaskState.DEAD})
_MAX_KNOWN = 1000
# A link that has just come back is slow, and a client does not wait long for what a hook says: each
# kind of event tells it a few times.
_MAX_TOLD = 3

# A project's agent by its process, and its incarnation.
LossKey = tuple[ProjectKey, str, str]


@dataclass
class _Loss:
    """What an agent lost."""

    record: ExpiryRecord
    worktrees: dict[str, str]  # of the lost tasks: lock → path
    told: Counter[str] = field(default_factory=Counter)  # by event


class FencedOut:
    """Which agents of this daemon have been declared dead and come back; thread-safe."""

    def __init__(self, rescuer: Rescuer) -> None:
        self._rescuer = rescuer
        self._losses: dict[LossKey, _Loss | None] = {}
        self._lock = threading.Lock()

    def refuse(
        self, project: ProjectSession, agent: Agent, needs: policy.Needs
    ) -> policy.Verdict | None:
        """A denial for a write in the worktree of a lost task; None for anything else."""
        loss = self._find(project, agent)
        if loss is None or not loss.worktrees.keys() & set(needs.resources):
            return None
        text = _tell(project.connected(), agent, loss)
        return policy.Verdict("deny", text) if text else None

    def tell(self, project: ProjectSession, agent: Agent, event: str) -> str:
        """What became of its work, a few times at each kind of event; "" if nothing was lost."""
        loss = self._find(project, agent)
        if loss is None or loss.told[event] >= _MAX_TOLD:
            return ""
        loss.told[event] += 1
        return _tell(project.connected(), agent, loss)

    def _find(self, project: ProjectSession, agent: Agent) -> _Loss | None:
        """Cached after the first time: what an incarnation lost before it began never changes."""
        if not agent.process:
            return None
        key = (project.key, agent.process, agent.incarnation)
        with self._lock:
            if key in self._losses:
                return self._losses[key]
        octet = project.connected()
        record = octet.agents.expiry(agent.process)
        loss = self._save_lost(octet, record) if record else None
        with self._lock:
            if len(self._losses) > _MAX_KNOWN:
                self._losses.clear()
            return self._losses.setdefault(key, loss)

    def _save_lost(self, octet: Octet, record: ExpiryRecord) -> _Loss:
        lost = list(_tasks(octet, record))
        worktrees: dict[str, str] = {}
        if octet.project and octet.project.common_dir:
            for task, _ in lost:
                worktrees |= {
                    worktree_resource(found): str(found.path)
                    for found in claim_worktrees(octet.project, record.agent, task)
                }
        self._rescuer.save_lost(octet, record.agent, lost)
        return _Loss(record, worktrees)


def _tell(octet: Octet, agent: Agent, loss: _Loss) -> str:
    """What the agent is told; "" once it lost nothing, holds a task again, or its work is over."""
    record = loss.record
    lost = list(_tasks(octet, record))
    is_over = bool(lost) and all(task.state in _OVER for task, _ in lost)
    if is_over or not (lost or record.locks) or octet.tasks.held_by(agent.id):
        loss.worktrees.clear()
        octet.agents.forget_expiry(agent.process)
        return ""
    return loss_text(record, lost, loss.worktrees, octet.now_ms())


def _tasks(octet: Octet, record: ExpiryRecord) -> Iterator[tuple[Task, int]]:
    """The lost tasks as they are now, each with the attempt that was lost."""
    for name, attempt in record.tasks:
        try:
            yield octet.tasks.get(name), attempt
        except NotFound:
            continue


def loss_text(
    record: ExpiryRecord,
    lost: Sequence[tuple[Task, int]],
    worktrees: Mapping[str, str],
    now_ms: int,
) -> str:
    """What was lost, what became of it, and what to do now."""
    name, ago = plain(record.agent.id, 80), age(record.at_ms, now_ms)
    said = [f"Octet: this machine was silent for too long: {name} was declared dead {ago} ago."]
    said += [_fate(task, attempt) for task, attempt in lost]
    if record.locks:
        were = "1 lock was" if record.locks == 1 else f"{record.locks} locks were"
        said.append(f"Its {were} freed: read a file again before you change it.")
    if lost:
        trees = ", ".join(map(plain, worktrees.values()))
        where = f", and write nothing more in {trees}" if trees else ""
        said.append(
            f"Stop that work{where}. `octet task claim` gives you other work, or the same again "
            "where it waits."
        )
    return " ".join(said)


def _fate(task: Task, attempt: int) -> str:
    """What became of a lost task and its unfinished work."""
    if task.holder:
        holder = plain(task.holder, 80)
        now = f"{holder} has it now ({task.state}); agree with it by `octet msg send {holder} …`"
    elif task.state == TaskState.PENDING:
        now = "it waits to be claimed again"
    else:
        now = f"it is {plain(task.state, 40)} now"
    kept = "is being kept"
    if f"{task.rescue_ref}-".startswith(f"{RESCUE}{task.id}/{attempt}-"):
        kept = f"is kept as {plain(task.rescue_ref)} ({plain(task.rescue_size)})"
    title = plain(task.title, 120)
    return f'You lost task {task.id} ("{title}"): {now}. Unfinished work {kept}.'
