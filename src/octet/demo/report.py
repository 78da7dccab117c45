"""What a demo came to, and whether everything was right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from octet.api import Octet
from octet.demo.chronicle import Chronicle
from octet.demo.roles import plan_text
from octet.demo.sample import BRANCH, Sample
from octet.git import Git
from octet.suite import Suite
from octet.tasks import State, Task

TEST_LIMIT_S = 120.0
PROMISED_MS = 2000


@dataclass(frozen=True)
class Report:
    """The figures of one demo; `problems` is empty where everything was right.

    `claims` counts those to build; each merge is a claim of its own. `claimable_ms`: from the kill to when the dead agent's task could
    be claimed; `failover_ms`: to when another had claimed it. None where nobody was killed.
    """

    feature: str
    agents: int
    tasks: int
    done: int
    claims: int
    conflicts: int
    denials: int
    merges: int
    killed: str
    heir: str
    claimable_ms: int | None
    failover_ms: int | None
    main: str
    tests: str
    duration_s: float
    repository: str
    problems: Sequence[str]


def check_store(octet: Octet, sample: Sample, story: Chronicle) -> list[str]:
    """What is wrong in the store at the end: a task not done exactly once, a lock or an agent left."""
    tasks = {job.id: octet.tasks.get(job.id) for job in sample.jobs}
    problems = [f"{task.id} is {task.state}" for task in tasks.values() if task.state != State.DONE]
    problems += [f"{work.id} was completed {work.completions} times" for work in story.work.values() if work.completions != 1]
    problems += [f"{lock.resource} is still locked by {lock.holder}" for lock in octet.locks.list()]
    problems += [f"{agent.id} is still registered" for agent in octet.agents.list() if agent.kind != "person"]
    return problems + list(story.conflicts) + list(story.failures)


def check_repository(git: Git, tasks: Sequence[Task], suite: Suite) -> list[str]:
    """What is wrong in the repository at the end: work that is not in main, a move that was no merge of a task, failing tests."""
    problems = [f"the work of {task.id} is not in {BRANCH}" for task in tasks if not (task.commit and git.contains(BRANCH, task.commit))]
    moves = set(git.out("rev-list", "--first-parent", BRANCH).splitlines()[:-1])
    if moves != {task.merge_commit for task in tasks}:
        problems.append(f"{BRANCH} was moved by something else than the merges of the tasks")
    if git.out("status", "--porcelain", "--untracked-files=no"):
        problems.append(f"the checkout of {BRANCH} does not agree with its branch")
    evidence = suite.run(git.directory)
    if not evidence.passed:
        problems.append(f"the tests of {BRANCH} fail: {evidence.tail[-300:]}")
    return problems


def check_plan(plan: Path, sample: Sample) -> list[str]:
    """What is wrong with the file that everybody wrote to: all that was written must be in it, once."""
    text = plan.read_text(encoding="utf-8")
    notes = text.removeprefix(plan_text(sample)).splitlines()
    whole = text.startswith(plan_text(sample)) and len(notes) == len(set(notes))
    return [] if whole else [f"{plan.name} was overwritten"]


def compose(story: Chronicle, feature: str, facts: Mapping[str, str], duration_s: float, problems: Sequence[str]) -> Report:
    """The report; `facts` has main, tests and repository as they are to be shown."""
    failover = story.failover
    reclaimed = failover is not None and bool(failover.heir)
    return Report(
        feature=feature,
        agents=len(story.members),
        tasks=story.total,
        done=story.done,
        claims=story.builds,
        conflicts=len(story.conflicts),
        denials=story.denials,
        merges=story.merges,
        killed=failover.agent if failover else "",
        heir=failover.heir if failover else "",
        claimable_ms=_ms(failover.claimable_s - failover.killed_s) if failover and failover.claimable_s else None,
        failover_ms=_ms(failover.reclaimed_s - failover.killed_s) if failover and reclaimed else None,
        main=facts["main"],
        tests=facts["tests"],
        duration_s=round(duration_s, 1),
        repository=facts["repository"],
        problems=tuple(problems),
    )


def render_report(report: Report) -> str:
    """The report for people."""
    lines = [
        f"{report.feature}: {report.done} of {report.tasks} tasks done by {report.agents} agents in {report.duration_s:g} s",
        f"  claims     {report.claims}, conflicts {report.conflicts}, denials {report.denials} (all honoured)",
        f"  merges     {report.merges}, one at a time, each tested before {BRANCH} moved",
        f"  failover   {_failover(report)}",
        f"  {BRANCH:<10} {report.main}; {report.tests}",
    ]
    if report.repository:
        lines.append(f"  kept       {report.repository}")
    lines += [f"  PROBLEM    {problem}" for problem in report.problems]
    return "\n".join(lines)


def _failover(report: Report) -> str:
    if not report.killed:
        return "nobody was killed"
    if report.failover_ms is None or report.claimable_ms is None:
        return f"{report.killed} was killed, and nobody took its task over"
    late = "" if report.claimable_ms <= PROMISED_MS else f" (more than the promised {PROMISED_MS} ms)"
    free = f"its task free after {report.claimable_ms} ms{late}"
    return f"{report.killed} killed; {free}, claimed by {report.heir} after {report.failover_ms} ms"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
