"""Conflicts predicted for work in flight and for the queue, in real repositories."""

from __future__ import annotations

from pathlib import Path

from tests.integration.merge.conftest import built, kinds, queue_of
from tests.support.repositories import commit, work
from tests.support.store_fixtures import contradictions, join

from octet.base.process import host_id
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task
from octet.core.tasks.verdicts import Verdict
from octet.git.program import Git
from octet.merge.prediction import queue_conflicts
from octet.worktree.creation import prepare_worktree


def test_conflicts_are_foreseen(octet: Octet, guardian: Agent) -> None:
    """Work that waits for its review goes back at once, a developer who is still building is told;
    work that fits is left alone.
    """
    at_review = built(octet, {"a.txt": "at review\n"}, gates=["review", "merge"])
    fits = built(octet, {"b.txt": "fits\n"}, gates=["review", "merge"])
    builder = join(octet, host=host_id())
    added = octet.tasks.add("in work")
    task = octet.tasks.claim(builder, task_id=added.id)
    commit(Git(Path(prepare_worktree(octet, builder, task).path)), {"a.txt": "in work\n"})
    first = built(octet, {"a.txt": "first\n"})
    assert kinds(queue_of(octet, guardian).merge_once(first.id)) == [
        "merged",
        "foreseen",
        "foreseen",
    ]
    assert [octet.tasks.get(task_id).state for task_id in (at_review.id, fits.id, task.id)] == [
        "pending",
        "submitted",
        "claimed",
    ]
    assert octet.tasks.records(at_review.id)[-1].verdict == Verdict.CONFLICT
    assert any("a.txt" in message.text for message in octet.messages.read(builder))
    assert contradictions(octet) == []


def test_the_queue_in_order(git: Git) -> None:
    """A task conflicts with the branch, or with the first task before it; a commit that is not here
    is passed over.
    """
    commits = {
        "old": work(git, "old", {"base.txt": "old\n"}),
        "one": work(git, "one", {"new.txt": "one\n"}),
        "two": work(git, "two", {"new.txt": "two\n"}),
        "fits": work(git, "fits", {"fits.txt": "x\n"}),
        "gone": "1" * 40,
        "none": "",
    }
    commit(git, {"base.txt": "moved on\n"})
    tasks = [Task(name, name, "submitted", commit=made) for name, made in commits.items()]
    assert queue_conflicts(git, "main", tasks) == {"old": "main: base.txt", "two": "one: new.txt"}
