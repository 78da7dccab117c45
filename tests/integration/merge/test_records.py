"""Outcomes on the records of tasks: done with evidence, or back to the developer with reasons."""

from __future__ import annotations

import pytest
from tests.integration.merge.conftest import built, kinds, queue_of
from tests.support.repositories import assert_in_step, commit
from tests.support.store_fixtures import contradictions, join

from octet.base.errors import NothingToClaim
from octet.base.process import host_id
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import TaskState
from octet.core.tasks.verdicts import Verdict
from octet.git.program import Git
from octet.merge.queue import MergeQueue
from octet.merge.settings import approved_test_command, read_merge_settings
from octet.project.config import FILE
from octet.project.repository import load_project


def test_what_passes_lands_with_its_evidence(octet: Octet, shop: Git, guardian: Agent) -> None:
    """A batch: each task done with its merge commit and the run of the tests; worktrees are gone,
    branch and checkout agree.
    """
    tasks = [built(octet, {f"{name}.txt": "x\n"}) for name in "bc"]
    assert kinds(queue_of(octet, guardian).merge_once()) == ["merged", "merged"]
    assert (shop.directory / "b.txt").exists()
    assert_in_step(shop)
    for task in tasks:
        done = octet.tasks.get(task.id)
        assert done.state == TaskState.DONE
        assert shop.contains("main", done.merge_commit)
        (record,) = octet.tasks.records(task.id)
        assert record.evidence is not None
        assert (record.verdict, record.by, record.commit) == (
            Verdict.MERGED,
            guardian.id,
            task.commit,
        )
        assert (
            record.evidence["command"],
            record.evidence["exit_code"],
            len(record.evidence["commits"]),
        ) == ("sh check.sh", 0, 2)
        assert record.evidence["tree"] == shop.out("rev-parse", "main^{tree}")
        assert not shop.commit(f"refs/heads/{task.branch}")
    assert octet.locks.list() == []
    with pytest.raises(NothingToClaim):
        list(queue_of(octet, guardian).merge_once())
    assert contradictions(octet) == []


@pytest.mark.parametrize("strategy", ["squash", "rebase"])
def test_under_another_name(octet: Octet, shop: Git, guardian: Agent, strategy: str) -> None:
    """Squashed or replayed on a branch that has moved on: the worktree and the branch go, though
    their commits are not in main.
    """
    task = built(octet, {"b.txt": "x\n"})
    with open(shop.directory / FILE, "a") as file:
        file.write(f'[merge]\nstrategy = "{strategy}"\n')
    commit(shop, {})
    project = load_project(shop.directory)
    queue = MergeQueue(
        octet, read_merge_settings(project, approved_test_command(project)), lambda: guardian
    )
    assert kinds(queue.merge_once()) == ["merged"]
    assert not shop.contains("main", task.commit)
    assert (shop.directory / "b.txt").exists()
    assert not shop.commit(f"refs/heads/{task.branch}")
    assert not (shop.directory / ".claude" / "worktrees" / task.id).exists()
    assert shop.out("for-each-ref", "refs/octet/rescue/") == ""


def test_a_conflict_goes_back_to_its_author_with_the_paths(
    octet: Octet, shop: Git, guardian: Agent
) -> None:
    """The first lands; the author of the second reads which files conflict, and is offered its task
    first.
    """
    built(octet, {"a.txt": "one way\n"}, priority=1)
    author = join(octet, host=host_id())
    second = built(octet, {"a.txt": "another way\n"}, author=author)
    octet.tasks.add("urgent", priority=100)
    assert kinds(queue_of(octet, guardian).merge_once()) == ["merged", "returned"]
    (record,) = octet.tasks.records(second.id)
    assert record.verdict == Verdict.CONFLICT
    assert any(
        "a.txt" in message.text and second.id in message.text
        for message in octet.messages.read(author)
    )
    again = octet.tasks.claim(author)
    assert again.id == second.id
    assert "a.txt" in again.findings
    assert_in_step(shop)


def test_work_that_fails_the_tests_goes_back_with_their_output(
    octet: Octet, shop: Git, guardian: Agent
) -> None:
    """Of three in a batch the one that fails on the combined tree goes back, with evidence; the
    others land.
    """
    before = shop.commit("main")
    tasks = [built(octet, {name: "x\n"}) for name in ("one", "b", "other")]
    assert sorted(kinds(queue_of(octet, guardian).merge_once())) == ["merged", "merged", "returned"]
    assert [octet.tasks.get(task.id).state for task in tasks] == [
        TaskState.DONE,
        TaskState.DONE,
        TaskState.PENDING,
    ]
    record = octet.tasks.records(tasks[2].id)[-1]
    assert record.verdict == Verdict.FAIL
    assert record.evidence is not None
    assert record.evidence["exit_code"] == 1
    for tip in shop.out("rev-list", "--first-parent", f"{before}..main").splitlines():
        names = shop.out("ls-tree", "--name-only", tip).split()
        assert not {"one", "other"} <= set(names)


def test_a_commit_that_is_gone_goes_back(octet: Octet, guardian: Agent) -> None:
    """A task whose commit is not here cannot wait for ever: its author reads what to do."""
    task = built(octet, {"b.txt": "x\n"})
    octet.store.client.hset(octet.store.keys.task(task.id), "commit", "1" * 40)
    assert kinds(queue_of(octet, guardian).merge_once()) == ["returned"]
    assert "1" * 40 in octet.tasks.get(task.id).findings
