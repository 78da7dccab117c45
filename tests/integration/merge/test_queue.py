"""The merge queue on a real server and real repositories: who merges, what waits and why."""

from __future__ import annotations

import threading
from typing import Any

from tests.integration.merge.conftest import built, kinds, queue_of
from tests.support.redis_fixtures import wait_for
from tests.support.repositories import assert_in_step, commit, install_hook
from tests.support.store_fixtures import contradictions, join

from octet.base.process import host_id
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import TaskState
from octet.git.program import Git
from octet.merge.queue import MergeQueue
from octet.merge.records import MergeReport
from octet.merge.settings import approved_test_command, read_merge_settings
from octet.merge.waiting_reason import waiting_reason

DEADLINE_S = 20.0


def test_a_dirty_checkout_keeps_the_queue_waiting(octet: Octet, shop: Git, guardian: Agent) -> None:
    """It reports the obstacle once, keeps its claims, and goes on by itself without it."""
    task = built(octet, {"a.txt": "new\n"})
    (shop.directory / "a.txt").write_text("a person's own\n")
    reports: list[MergeReport] = []
    working = threading.Thread(
        target=lambda: reports.extend(queue_of(octet, guardian).serve(wait_s=0.2))
    )
    working.start()
    wait_for(lambda: "the shop" in waiting_reason(octet), "the reason")
    assert octet.tasks.get(task.id).state == TaskState.MERGING
    assert (shop.directory / "a.txt").read_text() == "a person's own\n"
    shop.out("checkout", "--", "a.txt")
    working.join(DEADLINE_S)
    assert [report.kind for report in reports] == ["waiting", "merged"]
    assert "the shop" in reports[0].text
    assert (shop.directory / "a.txt").read_text() == "new\n"
    assert waiting_reason(octet) == ""


def test_once_gives_back_what_cannot_be_merged_now(
    octet: Octet, shop: Git, guardian: Agent
) -> None:
    """With a dirty checkout: the task waits in the queue again, no attempt is counted, and the
    report says why.
    """
    task = built(octet, {"a.txt": "new\n"})
    (shop.directory / "a.txt").write_text("a person's own\n")
    assert kinds(queue_of(octet, guardian).merge_once()) == ["waiting"]
    assert octet.tasks.get(task.id).state == TaskState.SUBMITTED
    assert octet.tasks.held_by(guardian.id) == []


def test_a_lock_that_another_holds_is_waited_for(octet: Octet, shop: Git, guardian: Agent) -> None:
    """Nothing moves while another agent locks the branch; once free, the merge goes on at once."""
    built(octet, {"b.txt": "x\n"})
    other = join(octet, "repository-guardian")
    token = octet.locks.acquire(other, ["repository:main"])["repository:main"]
    before, reports = shop.commit("main"), list[Any]()
    working = threading.Thread(
        target=lambda: reports.extend(queue_of(octet, guardian).serve(wait_s=0.2))
    )
    working.start()
    wait_for(lambda: octet.events.log(5)[-1].type == "merge_waiting", "it waits")
    assert shop.commit("main") == before
    octet.locks.release("repository:main", token)
    working.join(DEADLINE_S)
    assert [report.kind for report in reports] == ["waiting", "merged"]


def test_a_lock_that_is_lost_meanwhile_stops_the_move(
    octet: Octet, shop: Git, guardian: Agent
) -> None:
    """Its lock is broken and taken by another while the tests run: nothing moves."""
    task, before = built(octet, {"b.txt": "x\n"}), shop.commit("main")
    other = join(octet, "repository-guardian")
    started = shop.directory.parent / "started"
    commit(
        shop, {"check.sh": f"touch '{started}'; while [ -e '{started}' ]; do sleep 0.02; done\n"}
    )
    reports: list[MergeReport] = []
    working = threading.Thread(
        target=lambda: reports.extend(queue_of(octet, guardian).merge_once())
    )
    working.start()
    wait_for(started.exists, "the tests run")
    before = shop.commit("main")
    octet.locks.break_lock("repository:main", "person-ann")
    octet.locks.acquire(other, ["repository:main"])
    started.unlink()
    working.join(DEADLINE_S)
    assert [report.kind for report in reports] == ["waiting"]
    assert other.id in reports[0].text
    assert shop.commit("main") == before
    assert octet.tasks.get(task.id).state == TaskState.SUBMITTED


def test_an_agent_that_was_declared_dead_goes_on_as_another(octet: Octet, shop: Git) -> None:
    """A laptop that slept for longer than its lease: the claim is back in the queue, and the queue
    registers anew.
    """
    agents: list[Agent] = []

    def register() -> Agent:
        agents.append(join(octet, "repository-guardian", host=host_id()))
        return agents[-1]

    assert octet.project
    queue = MergeQueue(
        octet, read_merge_settings(octet.project, approved_test_command(octet.project)), register
    )
    built(octet, {"b.txt": "x\n"})
    assert len(queue.claim_batch()) == 1
    octet.agents.expire(agents[0])
    assert kinds(queue.serve(wait_s=0.2)) == ["merged"]
    assert len(agents) == 2
    assert_in_step(shop)


def test_two_queues_on_one_repository(octet: Octet, shop: Git) -> None:
    """Each task is merged once, by either of the two; in the end both have nothing to do."""
    tasks = [built(octet, {f"{number}.txt": "x\n"}) for number in range(8)]
    reports: list[MergeReport] = []

    def work() -> None:
        reports.extend(
            queue_of(octet, join(octet, "repository-guardian", host=host_id())).serve(wait_s=1.0)
        )

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(report.task for report in reports if report.kind == "merged") == sorted(
        task.id for task in tasks
    )
    assert {octet.tasks.get(task.id).state for task in tasks} == {TaskState.DONE}
    assert_in_step(shop)
    assert contradictions(octet) == []


def test_a_hook_of_git_that_refuses_keeps_it_waiting(
    octet: Octet, shop: Git, guardian: Agent
) -> None:
    """A reference-transaction hook may say no: the branch stays, and its word is passed on."""
    built(octet, {"b.txt": "x\n"})
    install_hook(
        shop,
        "reference-transaction",
        '[ "$1" = prepared ] && grep -q refs/heads/main && exit 1; exit 0',
    )
    before = shop.commit("main")
    assert kinds(queue_of(octet, guardian).merge_once()) == ["waiting"]
    assert shop.commit("main") == before
