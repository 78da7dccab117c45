"""The result of a demo, in figures and for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from octet.demo.history import Failover, History
from octet.demo.sample import BRANCH

PROMISED_MS = 2000


@dataclass(frozen=True)
class DemoReport:
    """The figures of one demo, as `--json` prints them."""

    feature: str
    agents: int
    tasks: int
    done: int
    claims: int  # of the build stage; each gate's are claims of its own
    conflicts: int
    denials: int
    reviews: int  # that approved the work or sent it back
    sent_back: int
    test_runs: int
    merges: int  # tasks
    moves: int  # of the protected branch; tasks that were tested together came with one
    killed: str
    heir: str  # the agent that claimed the dead agent's task
    claimable_ms: int | None  # from the kill to a claimable task; None if no agent was killed
    failover_ms: int | None  # from the kill to the heir's claim
    main: str  # the commit of the protected branch
    tests: str
    duration_s: float
    repository: str  # where the repository is kept; "" if it was removed
    problems: Sequence[str]  # empty if everything was right


@dataclass(frozen=True)
class Facts:
    """What no event tells: commit and moves of the protected branch, the duration, and where the
    repository is kept.
    """

    main: str
    moves: int
    duration_s: float
    repository: str = ""


def compose(history: History, feature: str, facts: Facts, problems: Sequence[str]) -> DemoReport:
    """The report."""
    failover = history.failover
    return DemoReport(
        feature=feature,
        agents=len(history.members),
        tasks=history.total,
        done=history.done,
        claims=history.builds,
        conflicts=len(history.conflicts),
        denials=history.denials,
        reviews=history.reviews,
        sent_back=history.sent_back,
        test_runs=history.test_runs,
        merges=history.merges,
        moves=facts.moves,
        killed=failover.agent if failover else "",
        heir=failover.heir if failover else "",
        claimable_ms=_claimable_ms(failover),
        failover_ms=_failover_ms(failover),
        main=facts.main,
        tests="its tests pass" if not problems else "see the problems",
        duration_s=facts.duration_s,
        repository=facts.repository,
        problems=tuple(problems),
    )


def render_report(report: DemoReport) -> str:
    """The report for people."""
    lines = [
        f"{report.feature}: {report.done} of {report.tasks} tasks done by {report.agents} "
        f"agents in {report.duration_s:g} s",
        f"  claims     {report.claims}, conflicts {report.conflicts}, denials "
        f"{report.denials} (all respected)",
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


def _failover(report: DemoReport) -> str:
    if not report.killed:
        return "no agent was killed"
    if report.failover_ms is None or report.claimable_ms is None:
        return f"{report.killed} was killed, and no other agent took over its task"
    late = ""
    if report.claimable_ms > PROMISED_MS:
        late = f" (more than the promised {PROMISED_MS} ms)"
    free = f"its task claimable after {report.claimable_ms} ms{late}"
    return f"{report.killed} killed; {free}, claimed by {report.heir} after {report.failover_ms} ms"


def _claimable_ms(failover: Failover | None) -> int | None:
    if failover is None or not failover.claimable_s:
        return None
    return round((failover.claimable_s - failover.killed_s) * 1000)


def _failover_ms(failover: Failover | None) -> int | None:
    if failover is None or not failover.heir:
        return None
    return round((failover.reclaimed_s - failover.killed_s) * 1000)
