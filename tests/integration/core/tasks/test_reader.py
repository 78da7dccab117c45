"""Reading tasks on real servers."""

from __future__ import annotations

import pytest
from tests.support.store_fixtures import join, merging

from octet.base.errors import NotFound, UsageError
from octet.client.api import Octet


def test_list_and_counts(octet: Octet) -> None:
    """Tasks in work come first, then the queues in order, then the finished; a limit cuts the list;
    counts see all.
    """
    developer, guardian = join(octet), join(octet, "repository-guardian")
    merge = merging(octet, guardian, developer, "merging")
    for title in ("dead", "done", "submitted", "claimed"):
        octet.tasks.add(title, priority=10, max_attempts=1)
    octet.tasks.add("low", priority=-1)
    octet.tasks.add("high", priority=5)
    for _ in range(4):
        task = octet.tasks.claim(developer)
        if task.title == "dead":
            octet.tasks.fail(task.id, task.token, "x")
        elif task.title == "done":
            octet.tasks.complete(task.id, task.token)
        elif task.title == "submitted":
            octet.tasks.submit(task.id, task.token, branch="b")
    titles = [task.title for task in octet.tasks.list()]
    assert titles == ["claimed", "merging", "submitted", "high", "low", "dead", "done"]
    assert [task.title for task in octet.tasks.list(limit=3)] == titles[:3]
    assert [task.title for task in octet.tasks.list("merging")] == [merge.title]
    counts = {state: count for state, count in octet.tasks.counts().items() if count}
    assert counts == {
        "pending": 2,
        "claimed": 1,
        "submitted": 1,
        "merging": 1,
        "done": 1,
        "dead": 1,
    }
    assert octet.tasks.list(limit=0) == []
    with pytest.raises(UsageError, match="no state"):
        octet.tasks.list("nonsense")


def test_a_fingerprint_changes_with_what_waits(octet: Octet) -> None:
    """It is empty while nothing waits, and the same until a queue or the work in flight changes;
    values that redis-cli left count.
    """
    assert (octet.tasks.fingerprint("build"), octet.tasks.waiting("build")) == ("", 0)
    octet.tasks.add("one")
    one = octet.tasks.fingerprint("build")
    assert one == octet.tasks.fingerprint("build") != ""
    octet.store.client.lpush(octet.store.keys.pending, "raw")
    two = octet.tasks.fingerprint("build")
    assert (octet.tasks.waiting("build"), octet.tasks.waiting("review")) == (2, 0)
    octet.tasks.claim(join(octet))
    assert len({"", one, two, octet.tasks.fingerprint("build")}) == 4
    with pytest.raises(UsageError, match="no stage"):
        octet.tasks.fingerprint("lunch")


def test_tasks_by_id_gate_and_holder(octet: Octet) -> None:
    """Those that exist; those that wait for a gate; those that an agent holds."""
    developer = join(octet)
    octet.tasks.add("one")
    octet.tasks.add("two")
    task = octet.tasks.claim(developer)
    assert [found.id for found in octet.tasks.held_by(developer.id)] == [task.id]
    octet.tasks.submit(task.id, task.token, branch="b", commit="c", gates=["review", "merge"])
    assert [found.id for found in octet.tasks.queued("review")] == [task.id]
    assert octet.tasks.held_by(developer.id) == []
    assert [found.id for found in octet.tasks.read(["2", "nonsense", "1"])] == ["2", "1"]
    assert octet.tasks.read([]) == []
    with pytest.raises(NotFound):
        octet.tasks.get("nonsense")
