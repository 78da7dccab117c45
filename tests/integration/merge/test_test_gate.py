"""The test gate: evidence on the combined tree, nothing moves; verdicts on tasks."""

from __future__ import annotations

from tests.integration.merge.conftest import built, push_from
from tests.support.repositories import commit, trees, work
from tests.support.store_fixtures import join

from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task, TaskState
from octet.core.tasks.verdicts import Verdict
from octet.git.program import Git
from octet.git.worktrees import list_worktrees
from octet.merge.landing import land
from octet.merge.model import Conflict, Evidence, Landed, MergeTarget, Strategy, Work
from octet.merge.settings import approved_test_command, read_merge_settings
from octet.merge.test_command import TestCommand
from octet.merge.test_gate import GateResult, combine_and_test, run_test_gate

PASSING = TestCommand("true", 30)


def combine_one(git: Git, task: str, test_command: TestCommand) -> object:
    return combine_and_test(
        git,
        Work(task, task, git.commit(f"octet/{task}")),
        MergeTarget("main"),
        strategy=Strategy.MERGE,
        test_command=test_command,
        directory=trees(git),
    )


def judged(octet: Octet, tester: Agent, task: Task) -> GateResult:
    assert octet.project
    settings = read_merge_settings(octet.project, approved_test_command(octet.project))
    return run_test_gate(octet, settings, octet.tasks.claim(tester, "test", task.id))


def test_evidence_and_nothing_moved(git: Git) -> None:
    """The combined tree is tested, the branch stays, and nothing is left."""
    submitted = work(git, "t", {"a.txt": "a\n"})
    tip = commit(git, {"b.txt": "b\n"})
    (git.directory / "b.txt").write_text("a dirty checkout is no matter here")
    evidence = combine_one(git, "t", TestCommand("ls *.txt", 30))
    assert isinstance(evidence, Evidence)
    assert (evidence.tail, evidence.commits, evidence.onto) == (
        "a.txt\nb.txt\nbase.txt\n",
        (submitted,),
        tip,
    )
    assert git.commit("main") == tip
    assert len(list_worktrees(git)) == 2


def test_a_conflict(git: Git) -> None:
    """It is answered without a test run."""
    work(git, "t", {"base.txt": "t\n"})
    commit(git, {"base.txt": "main\n"})
    outcome = combine_one(git, "t", TestCommand("false", 30))
    assert isinstance(outcome, Conflict)
    assert outcome.paths == ("base.txt",)


def test_while_a_landing_runs(git: Git) -> None:
    """A test run does not wait for the merge queue, nor the queue for it."""
    for task in ("one", "two"):
        work(git, task, {task: "x\n"})
    landing_now = land(
        git,
        [Work("one", "one", git.commit("octet/one"))],
        MergeTarget("main"),
        strategy=Strategy.MERGE,
        test_command=PASSING,
        directory=trees(git),
    )
    outcomes = [next(landing_now), combine_one(git, "two", PASSING), *landing_now]
    assert isinstance(outcomes[0], Landed)
    assert isinstance(outcomes[1], Evidence)


def test_it_is_tested_on_the_remote_branch(git: Git, bare: Git, other: Git) -> None:
    """The branch is where the remote has it; nothing moves, not even the local branch."""
    theirs, tip = push_from(other, {"theirs.txt": "x\n"}), git.commit("main")
    submitted = Work("t", "t", work(git, "t", {"t.txt": "t\n"}))
    target = MergeTarget("main", "origin")
    evidence = combine_and_test(
        git,
        submitted,
        target,
        strategy=Strategy.SQUASH,
        test_command=TestCommand("cat *.txt", 30),
        directory=trees(git),
    )
    assert isinstance(evidence, Evidence)
    assert (evidence.onto, evidence.tail) == (theirs, "base\nt\nx\n")
    assert (git.commit("main"), bare.commit("main")) == (tip, theirs)


def test_what_passes_goes_on(octet: Octet, shop: Git) -> None:
    """The record names both commits; the branch is where it was."""
    task, before = built(octet, {"b.txt": "x\n"}, gates=["test", "merge"]), shop.commit("main")
    tester = join(octet, "test-orchestrator")
    result = judged(octet, tester, task)
    assert result.passed
    (record,) = octet.tasks.records(task.id)
    assert record.evidence is not None
    assert (record.verdict, record.commit, record.evidence["onto"]) == (
        Verdict.PASS,
        task.commit,
        before,
    )
    assert octet.tasks.get(task.id).stage == "merge"
    assert shop.commit("main") == before


def test_what_fails_or_conflicts_goes_back(octet: Octet, shop: Git) -> None:
    """With the tail of the output, or the paths."""
    tester = join(octet, "test-orchestrator")
    failing = built(octet, {"broken": "x\n"}, gates=["test", "merge"])
    conflicting = built(octet, {"a.txt": "mine\n"}, gates=["test", "merge"])
    commit(shop, {"a.txt": "theirs\n"})
    results = [judged(octet, tester, task) for task in (failing, conflicting)]
    assert [result.passed for result in results] == [False, False]
    assert [octet.tasks.records(task.id)[-1].verdict for task in (failing, conflicting)] == [
        Verdict.FAIL,
        Verdict.CONFLICT,
    ]
    assert {octet.tasks.get(task.id).state for task in (failing, conflicting)} == {
        TaskState.PENDING
    }
