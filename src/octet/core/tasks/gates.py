"""The gates that a task passes between its submitted commit and the merge; pure.

gates_for(task, ["src/auth/login.py"], config)      # ("review", "security", "test", "merge")
"""

from __future__ import annotations

from collections.abc import Iterable

from octet.base.globs import matches_any
from octet.base.vocabulary import GATES, SECURITY
from octet.core.tasks.record import Task
from octet.project.config import Config


def gates_for(task: Task, changed_paths: Iterable[str], config: Config) -> tuple[str, ...]:
    """The task's own gates, else the project's; with security where a label or a touched path
    (repository-relative) calls for it.

    A gate that was decided stays: a task that is submitted again never loses one.
    """
    wanted = set(task.gates or config.gates)
    if set(task.labels) & set(config.security_labels) or any(
        matches_any(path, config.security_paths) for path in changed_paths
    ):
        wanted.add(SECURITY)
    return tuple(gate for gate in GATES if gate in wanted)
