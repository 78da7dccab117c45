"""The merge queue on a real server and real repositories: what lands, what goes back to whom, what
waits and why.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.redis_fixtures import wait_for
from tests.support.repositories import assert_in_step, commit, install_hook, make_repository
from tests.support.store_fixtures import contradictions, join

from octet.base.errors import NothingToClaim, Refused
from octet.base.process import host_id
from octet.client.api import Octet, connect
from octet.client.lease import Lease, LeaseLost
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task, TaskState
from octet.core.tasks.verdicts import Verdict
from octet.git.program import Git
from octet.merge.progress import why_waiting
from octet.merge.queue import MergeQueue, Report, how_to_merge, suite_of
from octet.merge.test_gate import judge
from octet.project import trust
from octet.project.config import FILE
from octet.project.repository import load_project
from octet.worktree.creation import prepare_worktree

SETTINGS = 'project = "shop"\n[test]\ncommand = "sh check.sh"\n'
# Passes where the files of two works that exclude each other are not both there.
CHECK = "test ! -e one -o ! -e other && test ! -e broken\n"
DEADLINE_S = 20.0


@pytest.fixture
def git(alone: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """An approved repository whose tests are `check.sh`."""
    monkeypatch.setenv("OCTET_HOME", str(alone / "state"))
    git = make_repository(alone / "the shop")
    (git.directory / ".claude").mkdir()
    commit(
        git,
        {
            str(FILE): SETTINGS,
            "check.sh": CHECK,
            "a.txt": "a\n",
            ".gitignore": ".claude/worktrees/\n",
        },
    )
    trust.approve(load_project(git.directory))
    return git


@pytest.fixture
def octet(git: Git, redis_url: str) -> Iterator[Octet]:
    with connect(git.directory, url=redis_url, wait_s=5) as octet:
        yield octet


@pytest.fixture
def guardian(octet: Octet) -> Agent:
    return join(octet, "repository-guardian", host=host_id())


def queue_of(octet: Octet, agent: Agent) -> MergeQueue:
    assert octet.project
    return MergeQueue(octet, how_to_merge(octet.project, suite_of(octet.project)), lambda: agent)


def built(
    octet: Octet,
    files: dict[str, str],
    *,
    gates: Sequence[str] = ("merge",),
    author: Agent | None = None,
    **fields: Any,
) -> Task:
    """A task whose work is submitted, from a worktree of its own."""
    author = author or join(octet, host=host_id())
    added = octet.tasks.add("work", gates=gates, **fields)
    task = octet.tasks.claim(author, task_id=added.id)
    prepared = prepare_worktree(octet, author, task)
    head = commit(Git(Path(prepared.path)), files)
    octet.tasks.submit(task.id, task.token, branch=prepared.branch, commit=head)
    return octet.tasks.get(task.id)


def kinds(reports: Iterator[Report]) -> list[str]:
    return [report.kind for report in reports]


def test_what_passes_lands_with_its_evidence(octet: Octet, git: Git, guardian: Agent) -> None:
    """A batch: each task done with its merge commit and the run of the tests; worktrees are gone,
    branch and checkout agree.
    """
    tasks = [built(octet, {f"{name}.txt": "x\n"}) for name in "bc"]
    assert kinds(queue_of(octet, guardian).merge_once()) == ["merged", "merged"]
    assert (git.directory / "b.txt").exists()
    assert_in_step(git)
    for task in tasks:
        done = octet.tasks.get(task.id)
        assert done.state == TaskState.DONE
        assert git.contains("main", done.merge_commit)
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
        assert record.evidence["tree"] == git.out("rev-parse", "main^{tree}")
        assert not git.commit(f"refs/heads/{task.branch}")
    assert octet.locks.list() == []
    with pytest.raises(NothingToClaim):
        list(queue_of(octet, guardian).merge_once())
    assert contradictions(octet) == []


@pytest.mark.parametrize("strategy", ["squash", "rebase"])
def test_under_another_name(octet: Octet, git: Git, guardian: Agent, strategy: str) -> None:
    """Squashed or replayed on a branch that has moved on: the worktree and the branch go, though
    their commits are not in main.
    """
    task = built(octet, {"b.txt": "x\n"})
    with open(git.directory / FILE, "a") as file:
        file.write(f'[merge]\nstrategy = "{strategy}"\n')
    commit(git, {})
    project = load_project(git.directory)
    queue = MergeQueue(octet, how_to_merge(project, suite_of(project)), lambda: guardian)
    assert kinds(queue.merge_once()) == ["merged"]
    assert not git.contains("main", task.commit)
    assert (git.directory / "b.txt").exists()
    assert not git.commit(f"refs/heads/{task.branch}")
    assert not (git.directory / ".claude" / "worktrees" / task.id).exists()
    assert git.out("for-each-ref", "refs/octet/rescue/") == ""


def test_a_conflict_goes_back_to_its_author_with_the_paths(
    octet: Octet, git: Git, guardian: Agent
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
    assert_in_step(git)


def test_work_that_fails_the_tests_goes_back_with_their_output(
    octet: Octet, git: Git, guardian: Agent
) -> None:
    """Of three in a batch the one that fails on the combined tree goes back, with evidence; the
    others land.
    """
    before = git.commit("main")
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
    for tip in git.out("rev-list", "--first-parent", f"{before}..main").splitlines():
        names = git.out("ls-tree", "--name-only", tip).split()
        assert not {"one", "other"} <= set(names)


def test_a_dirty_checkout_keeps_the_queue_waiting(octet: Octet, git: Git, guardian: Agent) -> None:
    """It says once what is in the way, keeps its claims, and goes on by itself when that is gone."""
    task = built(octet, {"a.txt": "new\n"})
    (git.directory / "a.txt").write_text("a person's own\n")
    reports: list[Report] = []
    working = threading.Thread(
        target=lambda: reports.extend(queue_of(octet, guardian).serve(wait_s=0.2))
    )
    working.start()
    wait_for(lambda: "the shop" in why_waiting(octet), "the reason")
    assert octet.tasks.get(task.id).state == TaskState.MERGING
    assert (git.directory / "a.txt").read_text() == "a person's own\n"
    git.out("checkout", "--", "a.txt")
    working.join(DEADLINE_S)
    assert [report.kind for report in reports] == ["waiting", "merged"]
    assert "the shop" in reports[0].text
    assert (git.directory / "a.txt").read_text() == "new\n"
    assert why_waiting(octet) == ""


def test_once_gives_back_what_cannot_be_merged_now(octet: Octet, git: Git, guardian: Agent) -> None:
    """With a dirty checkout: the task waits in the queue again, no attempt is counted, and the
    report says why.
    """
    task = built(octet, {"a.txt": "new\n"})
    (git.directory / "a.txt").write_text("a person's own\n")
    assert kinds(queue_of(octet, guardian).merge_once()) == ["waiting"]
    assert octet.tasks.get(task.id).state == TaskState.SUBMITTED
    assert octet.tasks.held_by(guardian.id) == []


def test_conflicts_are_foreseen(octet: Octet, guardian: Agent) -> None:
    """What waits for its review goes back at once, who is still building is told; what fits is left
    alone.
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


def test_a_lock_that_another_holds_is_waited_for(octet: Octet, git: Git, guardian: Agent) -> None:
    """Nothing moves while somebody else has the branch's lock; when it is free the merge goes on at
    once.
    """
    built(octet, {"b.txt": "x\n"})
    other = join(octet, "repository-guardian")
    token = octet.locks.acquire(other, ["repository:main"])["repository:main"]
    before, reports = git.commit("main"), []
    working = threading.Thread(
        target=lambda: reports.extend(queue_of(octet, guardian).serve(wait_s=0.2))
    )
    working.start()
    wait_for(lambda: octet.events.log(5)[-1].type == "merge_waiting", "it waits")
    assert git.commit("main") == before
    octet.locks.release("repository:main", token)
    working.join(DEADLINE_S)
    assert [report.kind for report in reports] == ["waiting", "merged"]


def test_a_lock_that_is_lost_meanwhile_stops_the_move(
    octet: Octet, git: Git, guardian: Agent
) -> None:
    """Its lock is broken and taken by another while the tests run: nothing moves."""
    task, before = built(octet, {"b.txt": "x\n"}), git.commit("main")
    other = join(octet, "repository-guardian")
    started = git.directory.parent / "started"
    commit(git, {"check.sh": f"touch '{started}'; while [ -e '{started}' ]; do sleep 0.02; done\n"})
    reports: list[Report] = []
    working = threading.Thread(
        target=lambda: reports.extend(queue_of(octet, guardian).merge_once())
    )
    working.start()
    wait_for(started.exists, "the tests run")
    before = git.commit("main")
    octet.locks.break_lock("repository:main", "person-ann")
    octet.locks.acquire(other, ["repository:main"])
    started.unlink()
    working.join(DEADLINE_S)
    assert [report.kind for report in reports] == ["waiting"]
    assert other.id in reports[0].text
    assert git.commit("main") == before
    assert octet.tasks.get(task.id).state == TaskState.SUBMITTED


def test_a_lease_tells_that_it_was_lost_for_a_while(octet: Octet) -> None:
    """Broken and free again: it is taken anew with another token, and what was begun under the old
    one must not go on.
    """
    agent = join(octet)
    with Lease(octet, agent, "repository:main") as lease:
        lease.check()
        octet.locks.break_lock("repository:main", "person-ann")
        with pytest.raises(LeaseLost):
            lease.check()
        lease.check()
    assert octet.locks.list() == []


def test_an_agent_that_was_buried_goes_on_as_another(octet: Octet, git: Git) -> None:
    """A laptop that slept for longer than its lease: the claim is back in the queue, and the queue
    registers anew.
    """
    agents: list[Agent] = []

    def register() -> Agent:
        agents.append(join(octet, "repository-guardian", host=host_id()))
        return agents[-1]

    assert octet.project
    queue = MergeQueue(octet, how_to_merge(octet.project, suite_of(octet.project)), register)
    built(octet, {"b.txt": "x\n"})
    assert len(queue.claim()) == 1
    octet.agents.expire(agents[0])
    assert kinds(queue.serve(wait_s=0.2)) == ["merged"]
    assert len(agents) == 2
    assert_in_step(git)


def test_two_queues_on_one_repository(octet: Octet, git: Git) -> None:
    """Each task is merged once, whoever of the two has it; in the end both have nothing to do."""
    tasks = [built(octet, {f"{number}.txt": "x\n"}) for number in range(8)]
    reports: list[Report] = []

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
    assert_in_step(git)
    assert contradictions(octet) == []


def test_a_commit_that_is_gone_goes_back(octet: Octet, guardian: Agent) -> None:
    """A task whose commit is not in this repository cannot wait for ever: its author reads what to
    do.
    """
    task = built(octet, {"b.txt": "x\n"})
    octet.store.client.hset(octet.store.keys.task(task.id), "commit", "1" * 40)
    assert kinds(queue_of(octet, guardian).merge_once()) == ["returned"]
    assert "1" * 40 in octet.tasks.get(task.id).findings


def test_without_an_approved_test_command_nothing_is_merged(octet: Octet, git: Git) -> None:
    """No command at all, or one that was changed since the person approved it: refused, and what to
    do is said.
    """
    assert octet.project
    (git.directory / FILE).write_text(SETTINGS.replace("sh check.sh", "sh other.sh"))
    with pytest.raises(Refused, match="octet init"):
        suite_of(load_project(git.directory))
    (git.directory / FILE).write_text('project = "shop"\n')
    with pytest.raises(Refused, match="--no-tests"):
        suite_of(load_project(git.directory))
    assert suite_of(load_project(git.directory), without=True) is None


def test_a_hook_of_git_that_refuses_keeps_it_waiting(
    octet: Octet, git: Git, guardian: Agent
) -> None:
    """A reference-transaction hook may say no: the branch stays, and its word is passed on."""
    built(octet, {"b.txt": "x\n"})
    install_hook(
        git,
        "reference-transaction",
        '[ "$1" = prepared ] && grep -q refs/heads/main && exit 1; exit 0',
    )
    before = git.commit("main")
    assert kinds(queue_of(octet, guardian).merge_once()) == ["waiting"]
    assert git.commit("main") == before


class TestGate:
    """The test gate: evidence on the combined tree, and nothing moves."""

    def test_what_passes_goes_on(self, octet: Octet, git: Git) -> None:
        """The record names both commits; the branch is where it was."""
        task, before = built(octet, {"b.txt": "x\n"}, gates=["test", "merge"]), git.commit("main")
        tester = join(octet, "test-orchestrator")
        verdict = self.judged(octet, tester, task)
        assert verdict.passed
        (record,) = octet.tasks.records(task.id)
        assert record.evidence is not None
        assert (record.verdict, record.commit, record.evidence["onto"]) == (
            Verdict.PASS,
            task.commit,
            before,
        )
        assert octet.tasks.get(task.id).stage == "merge"
        assert git.commit("main") == before

    def test_what_fails_or_conflicts_goes_back(self, octet: Octet, git: Git) -> None:
        """With the tail of the output, or the paths."""
        tester = join(octet, "test-orchestrator")
        failing = built(octet, {"broken": "x\n"}, gates=["test", "merge"])
        conflicting = built(octet, {"a.txt": "mine\n"}, gates=["test", "merge"])
        commit(git, {"a.txt": "theirs\n"})
        verdicts = [self.judged(octet, tester, task) for task in (failing, conflicting)]
        assert [verdict.passed for verdict in verdicts] == [False, False]
        assert [octet.tasks.records(task.id)[-1].verdict for task in (failing, conflicting)] == [
            Verdict.FAIL,
            Verdict.CONFLICT,
        ]
        assert {octet.tasks.get(task.id).state for task in (failing, conflicting)} == {
            TaskState.PENDING
        }

    @staticmethod
    def judged(octet: Octet, tester: Agent, task: Task) -> Any:
        assert octet.project
        how = how_to_merge(octet.project, suite_of(octet.project))
        return judge(octet, how, octet.tasks.claim(tester, "test", task.id))
