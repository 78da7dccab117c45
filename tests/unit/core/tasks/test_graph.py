"""The graph of tasks, drawn."""

from __future__ import annotations

from octet.core.tasks.graph import connected, render_dot, render_mermaid, render_tree, unfinished
from octet.core.tasks.record import Task


def test_drawings() -> None:
    """A task stands below what it waits for, once; texts cannot break out of a drawing; what is
    over is left out.
    """
    tasks = {
        "a": Task("a", 'the "first"]', "done"),
        "b": Task("b", "second", "cancelled", after=("a",)),
        "c": Task("c", "third", "blocked", after=("a", "b")),
        "d": Task("d", "alone", "done"),
    }
    assert set(unfinished(tasks)) == {"a", "b", "c"}
    assert set(connected(tasks, "b")) == {"a", "b", "c"}
    lines = render_tree(tasks).splitlines()
    assert [line.split(" [")[0] for line in lines] == ["a", "  b", "    c", "  c (above)", "d"]
    assert "stuck: b is cancelled" in lines[2]
    assert '"a" -> "b";' in render_dot(tasks)
    assert '\\"first\\"' in render_dot(tasks)
    assert "t0 --> t1" in render_mermaid(tasks)
    assert '#34;first#34;#93; (done)"]' in render_mermaid(tasks)
