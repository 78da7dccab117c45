"""Whether everything was right at the end of a demo: in the store, in the repository, in the file
that everybody wrote to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from octet.client.api import Octet
from octet.core.tasks.record import Task, TaskState
from octet.core.tasks.verdicts import Record, Verdict
from octet.demo.chronicle import Chronicle
from octet.demo.roles import plan_text
from octet.demo.sample import BRANCH, Sample
from octet.git.program import Git
from octet.merge.commits import TASK_TRAILER
from octet.merge.test_command import TestCommand

TEST_LIMIT_S = 120.0
# What must be on record for the commit of each task that is done, and from another agent than its
# author.
PASSED = (("review", Verdict.APPROVE), ("test", Verdict.PASS), ("merge", Verdict.MERGED))

Judged = Mapping[Task, Sequence[Record]]


def check_store(octet: Octet, sample: Sample, story: Chronicle) -> list[str]:
    """What is wrong in the store at the end: a task not done exactly once, a lock or an agent left."""
    tasks = {job.id: octet.tasks.get(job.id) for job in sample.jobs}
    problems = [
        f"{task.id} is {task.state}" for task in tasks.values() if task.state != TaskState.DONE
    ]
    problems += [
        f"{work.id} was completed {work.completions} times"
        for work in story.work.values()
        if work.completions != 1
    ]
    problems += [f"{lock.resource} is still locked by {lock.holder}" for lock in octet.locks.list()]
    problems += [
        f"{agent.id} is still registered" for agent in octet.agents.list() if agent.kind != "person"
    ]
    return problems + list(story.conflicts) + list(story.failures)


def check_records(judged: Judged) -> list[str]:
    """What is missing in the records of the gates: a task's very commit must have been approved,
    tested and merged by others.
    """
    problems = []
    for task, records in judged.items():
        found = {
            (record.gate, record.verdict)
            for record in records
            if not record.is_stale(task.commit) and record.by != task.author
        }
        problems += [
            f"{task.id} has no record of {verdict} by the {gate} gate"
            for gate, verdict in PASSED
            if (gate, verdict) not in found
        ]
    return problems


@dataclass(frozen=True)
class Move:
    """One commit that the protected branch was moved to: its tree, and the tasks that its trailers
    name.
    """

    commit: str
    tree: str
    tasks: tuple[str, ...]


def read_moves(git: Git) -> Sequence[Move]:
    """How the protected branch came from its first commit to where it is, the last move first."""
    trailers = f"%(trailers:key={TASK_TRAILER},valueonly,separator=%x20)"
    *moves, _first = git.out(
        "log", "--first-parent", f"--format=%H %T {trailers}", BRANCH
    ).splitlines()
    return [Move(commit, tree, tuple(tasks)) for commit, tree, *tasks in map(str.split, moves)]


def check_repository(git: Git, judged: Judged, test_command: TestCommand) -> list[str]:
    """What is wrong in the repository at the end: work that is not in main, a move that was not the
    queue's, failing tests.
    """
    problems = [
        f"the work of {task.id} is not in {BRANCH}"
        for task in judged
        if not (task.commit and git.contains(BRANCH, task.commit))
    ]
    problems += check_moves(read_moves(git), judged)
    if git.out("status", "--porcelain", "--untracked-files=no"):
        problems.append(f"the checkout of {BRANCH} does not agree with its branch")
    evidence = test_command.run_in(git.directory)
    if not evidence.passed:
        problems.append(f"the tests of {BRANCH} fail: {evidence.tail[-300:]}")
    return problems


def check_moves(moves: Sequence[Move], judged: Judged) -> list[str]:
    """What is wrong with how the branch moved: each task must have come once, and each move with a
    tree that had passed the tests.
    """
    problems = []
    if sorted(task for move in moves for task in move.tasks) != sorted(
        task.id for task in judged
    ) or not all(move.tasks for move in moves):
        problems.append(f"{BRANCH} was moved by something else than the merges of the tasks")
    tested = set(_tested_trees(record for records in judged.values() for record in records))
    return problems + [
        f"{BRANCH} was moved to {move.commit[:12]}, which was not tested"
        for move in moves
        if move.tree not in tested
    ]


def _tested_trees(records: Iterable[Record]) -> Iterable[object]:
    for record in records:
        if (
            record.verdict == Verdict.MERGED
            and record.evidence
            and record.evidence.get("exit_code") == 0
        ):
            yield record.evidence.get("tree")


def check_plan(plan: Path, sample: Sample) -> list[str]:
    """What is wrong with the file that everybody wrote to: all that was written must be in it,
    once.
    """
    text = plan.read_text(encoding="utf-8")
    notes = text.removeprefix(plan_text(sample)).splitlines()
    whole = text.startswith(plan_text(sample)) and len(notes) == len(set(notes))
    return [] if whole else [f"{plan.name} was overwritten"]
