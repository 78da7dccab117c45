"""Whether everything was right at the end of a demo: in the store, in the repository, and in the
file that all agents wrote to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from octet.client.api import Octet
from octet.core.tasks.record import Task, TaskState
from octet.core.tasks.verdicts import Record, Verdict
from octet.demo.history import History
from octet.demo.roles import plan_text
from octet.demo.sample import BRANCH, Sample
from octet.git.program import Git
from octet.merge.commits import TASK_TRAILER
from octet.merge.test_command import TestCommand

TEST_LIMIT_S = 120.0
# What each finished task's commit must have on record, from another agent than its author.
REQUIRED = (("review", Verdict.APPROVE), ("test", Verdict.PASS), ("merge", Verdict.MERGED))

RecordsByTask = Mapping[Task, Sequence[Record]]


def check_store(octet: Octet, sample: Sample, history: History) -> list[str]:
    """What is wrong in the store: a task not done exactly once, a lock or an agent that is left."""
    tasks = [octet.tasks.get(job.id) for job in sample.jobs]
    problems = [f"{task.id} is {task.state}" for task in tasks if task.state != TaskState.DONE]
    problems += [
        f"{task.id} was completed {task.completions} times"
        for task in history.tasks.values()
        if task.completions != 1
    ]
    problems += [f"{lock.resource} is still locked by {lock.holder}" for lock in octet.locks.list()]
    agents = [agent for agent in octet.agents.list() if agent.kind != "person"]
    problems += [f"{agent.id} is still registered" for agent in agents]
    return problems + list(history.conflicts) + list(history.failures)


def check_records(records_by_task: RecordsByTask) -> list[str]:
    """What the gates' records lack: each task's very commit must have been approved, tested and
    merged by other agents than its author.
    """
    problems = []
    for task, records in records_by_task.items():
        found = {
            (record.gate, record.verdict)
            for record in records
            if not record.is_stale(task.commit) and record.by != task.author
        }
        problems += [
            f"{task.id} has no record of {verdict} by the {gate} gate"
            for gate, verdict in REQUIRED
            if (gate, verdict) not in found
        ]
    return problems


@dataclass(frozen=True)
class BranchStep:
    """A commit that the protected branch was moved to: its tree, and the tasks in its trailers."""

    commit: str
    tree: str
    tasks: tuple[str, ...]


def read_moves(git: Git) -> Sequence[BranchStep]:
    """The moves of the protected branch since its first commit, the last one first."""
    trailers = f"%(trailers:key={TASK_TRAILER},valueonly,separator=%x20)"
    log = git.out("log", "--first-parent", f"--format=%H %T {trailers}", BRANCH)
    *moves, _first = log.splitlines()
    return [
        BranchStep(commit, tree, tuple(tasks)) for commit, tree, *tasks in map(str.split, moves)
    ]


def check_repository(
    git: Git, records_by_task: RecordsByTask, test_command: TestCommand
) -> list[str]:
    """What is wrong in the repository: work that is not in main, a move that was not the merge
    queue's, failing tests.
    """
    problems = [
        f"the work of {task.id} is not in {BRANCH}"
        for task in records_by_task
        if not (task.commit and git.contains(BRANCH, task.commit))
    ]
    problems += check_moves(read_moves(git), records_by_task)
    if git.out("status", "--porcelain", "--untracked-files=no"):
        problems.append(f"the checkout of {BRANCH} does not agree with its branch")
    evidence = test_command.run_in(git.directory)
    if not evidence.passed:
        problems.append(f"the tests of {BRANCH} fail: {evidence.tail[-300:]}")
    return problems


def check_moves(moves: Sequence[BranchStep], records_by_task: RecordsByTask) -> list[str]:
    """What is wrong with the moves: each task must have come once, each move with a tree that had
    passed the tests.
    """
    problems = []
    moved = sorted(task for move in moves for task in move.tasks)
    if moved != sorted(task.id for task in records_by_task) or not all(m.tasks for m in moves):
        problems.append(f"{BRANCH} was moved by something else than the merges of the tasks")
    tested = set(
        _tested_trees(record for records in records_by_task.values() for record in records)
    )
    return problems + [
        f"{BRANCH} was moved to {move.commit[:12]}, which was not tested"
        for move in moves
        if move.tree not in tested
    ]


def _tested_trees(records: Iterable[Record]) -> Iterable[object]:
    for record in records:
        evidence = record.evidence or {}
        if record.verdict == Verdict.MERGED and evidence.get("exit_code") == 0:
            yield evidence.get("tree")


def check_plan_file(path: Path, sample: Sample) -> list[str]:
    """What is wrong with the file that all agents wrote to: every text must be in it, once."""
    text = path.read_text(encoding="utf-8")
    notes = text.removeprefix(plan_text(sample)).splitlines()
    whole = text.startswith(plan_text(sample)) and len(notes) == len(set(notes))
    return [] if whole else [f"{path.name} was overwritten"]
