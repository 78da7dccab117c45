"""What a demo came to, in figures and for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from octet.demo.chronicle import Chronicle
from octet.demo.sample import BRANCH

PROMISED_MS = 2000


@dataclass(frozen=True)
class Report:
    """The figures of one demo; `problems` is empty where everything was right.

    `claims` counts those to build; each gate's are claims of its own. `reviews` ended with an
    approval, or with the work `sent_back`. `merges` counts tasks, `moves` those of the protected
    branch: tasks that were tested together came with one. `claimable_ms`: from the kill to when the
    dead agent's task could be claimed; `failover_ms`: to when another had claimed it. None where
    nobody was killed.
    """

    feature: str
    agents: int
    tasks: int
    done: int
    claims: int
    conflicts: int
    denials: int
    reviews: int
    sent_back: int
    test_runs: int
    merges: int
    moves: int
    killed: str
    heir: str
    claimable_ms: int | None
    failover_ms: int | None
    main: str
    tests: str
    duration_s: float
    repository: str
    problems: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """What no event tells: where the protected branch is and how often it moved, the time it took,
    and where the repository stays.
    """

    main: str
    moves: int
    duration_s: float
    repository: str = ""


def compose(story: Chronicle, feature: str, facts: Facts, problems: Sequence[str]) -> Report:
    """The report."""
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
        reviews=story.reviews,
        sent_back=story.sent_back,
        test_runs=story.test_runs,
        merges=story.merges,
        moves=facts.moves,
        killed=failover.agent if failover else "",
        heir=failover.heir if failover else "",
        claimable_ms=_ms(failover.claimable_s - failover.killed_s)
        if failover and failover.claimable_s
        else None,
        failover_ms=_ms(failover.reclaimed_s - failover.killed_s)
        if failover and reclaimed
        else None,
        main=facts.main,
        tests="its tests pass" if not problems else "see the problems",
        duration_s=facts.duration_s,
        repository=facts.repository,
        problems=tuple(problems),
    )


def render_report(report: Report) -> str:
    """The report for people."""
    lines = [
        f"{report.feature}: {report.done} of {report.tasks} tasks done by {report.agents} "
        f"agents in {report.duration_s:g} s",
        f"  claims     {report.claims}, conflicts {report.conflicts}, denials "
        f"{report.denials} (all honoured)",
        f"  reviews    {report.reviews} ({report.sent_back} sent back), test runs "
        f"{report.test_runs}",
        f"  merges     {report.merges} in {report.moves} moves of {BRANCH}, each tested "
        "before it moved",
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
    late = (
        "" if report.claimable_ms <= PROMISED_MS else f" (more than the promised {PROMISED_MS} ms)"
    )
    free = f"its task free after {report.claimable_ms} ms{late}"
    return f"{report.killed} killed; {free}, claimed by {report.heir} after {report.failover_ms} ms"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
