"""What a run came to, for people."""

from __future__ import annotations

from collections import Counter

from tests.chaos.torture.bugs import BUGS
from tests.chaos.torture.conductor import Result


def as_text(result: Result) -> str:
    """A few lines."""
    lines = [
        f"{sum(result.operations.values())} operations of {result.processes} processes in "
        f"{result.seconds:.0f} s, "
        f"{result.open} without an answer; {sum(result.faults.values())} faults",
        f"{len(result.violations)} violations (checked in {result.check_seconds:.0f} s, "
        f"{result.memory_mb} MB)",
        f"operations: {_listed(result.operations)}",
        f"outcomes: {_listed(result.outcomes)}",
        f"faults: {_listed(result.faults)}",
    ]
    return "\n".join([*lines, *(f"worker {name} failed" for name in result.failed)])


PAGE = """\
# Torture: the log of one run

    {command}

Workers add, claim, report on, submit, judge, complete, fail and release tasks; acquire and release
locks on files and directories; push, reserve and acknowledge items; read, set and compare-and-set
fields; count; send and take messages. One in ten says that it is on another machine and has nothing
but its lease; one in ten uses a connection that is cut, slowed down and made to swallow. Meanwhile
workers, the daemon, its supervisor and the embedded server are killed and stopped. The process that
makes an operation records its invocation and answer with their times, and the history is checked
against the invariants of the design, object by object (`tests/chaos/checker`). At the end the store
is read, and its content must be what the history says.

| | |
|---|---|
| operations | {operations:,} |
| of them without an answer (each may or may not have happened) | {open:,} |
| processes, successors of killed ones included | {processes} |
| faults | {faults} |
| duration | {seconds:.0f} s |
| **violations of the invariants** | **{violations}** |
| the check | {check_seconds:.0f} s, {memory_mb:,} MB |

The seed decides which faults come, in which order and with which gaps (`scripts/torture --seed 7
--plan 20` shows the first twenty), and what each worker does next given the same answers. It does
not decide which process the operating system lets run when; so the answers, the operation at which
a fault strikes and the counts below differ from run to run. `--keep DIRECTORY` keeps the history,
`--check DIRECTORY` checks it again.

`scripts/torture --seconds 60` is the short form; `tests/chaos/test_torture.py` runs some seconds of
it, and shows that the checker finds each of {bugs} bugs that are planted in a copy of Octet
(`tests/chaos/torture/bugs.py`).

"""


def as_markdown(result: Result, command: str) -> str:
    """The figures as a page of the documentation."""
    page = PAGE.format(
        command=command,
        operations=sum(result.operations.values()),
        open=result.open,
        processes=result.processes,
        faults=sum(result.faults.values()),
        seconds=result.seconds,
        violations=len(result.violations),
        check_seconds=result.check_seconds,
        memory_mb=result.memory_mb,
        bugs=len(BUGS),
    )
    tables = [
        *_table("fault", result.faults),
        *_table("operation", result.operations),
        *_table("outcome", result.outcomes),
    ]
    return page + "\n".join(tables).rstrip() + "\n"


def _table(title: str, counts: Counter[str]) -> list[str]:
    return [
        f"| {title} | times |",
        "|---|---:|",
        *(f"| {name} | {count:,} |" for name, count in counts.most_common()),
        "",
    ]


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
