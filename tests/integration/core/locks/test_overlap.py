"""Overlaps of agents in worktrees of their own, on real servers."""

from __future__ import annotations

from tests.support.store_fixtures import join

from octet.client.api import Octet


def texts(octet: Octet, name: str) -> list[str]:
    return [message.text for message in octet.messages.read(octet.agents.get(name))]


def test_each_pair_is_told_once(octet: Octet) -> None:
    """The second agent by the answer, the first by a message, with task and branch; then neither."""
    octet.tasks.add("one")
    first, second = join(octet), join(octet)
    octet.tasks.claim(first)
    assert octet.overlaps.touch(first, ["src/a.py", "src/b.py"], "octet/1") == []
    (overlap,) = octet.overlaps.touch(second, ["src/a.py"])
    assert overlap == ("src/a.py", first.id, "1", "octet/1")
    (text,) = texts(octet, first.id)
    assert "src/a.py" in text
    assert second.id in text
    assert octet.overlaps.touch(second, ["src/a.py"]) == []
    assert octet.overlaps.touch(first, ["src/a.py"]) == []
    assert texts(octet, first.id) == []


def test_work_that_is_over_is_no_overlap(octet: Octet) -> None:
    """A task that is done, and an agent without a task that is gone; a dead agent touches nothing."""
    octet.tasks.add("one")
    first, second, third = join(octet), join(octet), join(octet)
    task = octet.tasks.claim(first)
    octet.overlaps.touch(first, ["src/a.py"])
    octet.tasks.complete(task.id, task.token)
    octet.overlaps.touch(third, ["src/a.py"])
    octet.agents.leave(third)
    assert octet.overlaps.touch(second, ["src/a.py"]) == []
    octet.agents.expire(second)
    assert octet.overlaps.touch(second, ["src/a.py"]) == ()
