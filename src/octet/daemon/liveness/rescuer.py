"""Saves the work of agents that die or leave, before their tasks go back: on threads of its own,
and for a bounded time.

    the process ends ─▶ snapshot begins ─▶ done, or the time is used up ─▶ the task can be claimed

Where git is slow, the task goes back all the same: two seconds after a death it must be claimable.
The snapshot then ends later and is noted on the task, and the agent that has claimed the task
meanwhile gets a message.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task, TaskState
from octet.worktree.rescue import rescue_claims, rescue_lost_claims

# Of the two seconds from a death to a claimable task. Agents that die together share it.
EXPIRY_S = 1.2
# An agent that leaves does so in a hook that the client gives 1.5 s in all.
LEAVE_S = 0.7
SAME_BURST_S = 1.0
THREADS = 4


class Rescuer:
    """Snapshots in the background; thread-safe."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="rescue")
        self._lock = threading.Lock()
        self._deadline = 0.0

    def save(self, octet: Octet, agent: Agent, within_s: float = EXPIRY_S) -> None:
        """Begin to save the agent's work, and wait for it while there is time; only where a task
        would go back.

        Raises:
            StoreUnreachable: the store does not answer.
        """
        if octet.project is None or octet.project.common_dir is None:
            return
        tasks = [task for task in octet.tasks.held_by(agent.id) if task.state == TaskState.CLAIMED]
        if tasks:
            saving = self._pool.submit(rescue_claims, octet, agent, tasks)
            wait([saving], timeout=self._left_s(within_s))

    def save_lost(self, octet: Octet, agent: Agent, lost: Sequence[tuple[Task, int]]) -> None:
        """Save the work of an agent that was wrongly declared dead, and has lost its tasks."""
        if lost:
            wait([self._pool.submit(rescue_lost_claims, octet, agent, lost)], timeout=LEAVE_S)

    def stop(self) -> None:
        """Take no more; what has begun goes on."""
        self._pool.shutdown(wait=False)

    def _left_s(self, within_s: float) -> float:
        with self._lock:
            now = time.monotonic()
            if now > self._deadline + SAME_BURST_S:
                self._deadline = now + within_s
            return max(0.0, self._deadline - now)
