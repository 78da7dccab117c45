"""A task's record, read from its hash."""

from __future__ import annotations

from octet.core.tasks.record import Task


def test_a_task_read_from_a_spoiled_record() -> None:
    """Fields that are no numbers or lists fall back to nothing; unknown ones are left out."""
    spoiled = {
        "id": "1",
        "priority": "1e999",
        "attempts": "nan",
        "progress": "50%",
        "labels": "[" * 9999,
        "paths": '{"a": 1}',
        "x": "y",
    }
    task = Task.from_hash(spoiled)
    assert (task.priority, task.attempts, task.progress, task.labels, task.paths, task.title) == (
        0,
        0,
        50,
        (),
        (),
        "",
    )
