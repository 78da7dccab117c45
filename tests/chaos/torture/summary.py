"""What a run came to, for people."""

from __future__ import annotations

from collections import Counter

from tests.chaos.torture.conductor import Result


def as_text(result: Result) -> str:
    """A few lines."""
    lines = [
        f"{sum(result.operations.values())} operations of {result.processes} processes in {result.seconds:.0f} s, "
        f"{result.open} without an answer; {sum(result.faults.values())} faults",
        f"{len(result.violations)} violations (checked in {result.check_seconds:.0f} s, {result.memory_mb} MB)",
        f"operations: {_listed(result.operations)}",
        f"outcomes: {_listed(result.outcomes)}",
        f"faults: {_listed(result.faults)}",
    ]
    return "\n".join([*lines, *(f"worker {name} failed" for name in result.failed)])


def as_markdown(result: Result, command: str) -> str:
    """The figures as a page of the documentation."""
    head = [
        "# Torture: the log of one run",
        "",
        f"`{command}`",
        "",
        "| | |",
        "|---|---|",
        f"| operations | {sum(result.operations.values()):,} |",
        f"| without an answer (may or may not have happened) | {result.open:,} |",
        f"| processes, those that took a killed one's place included | {result.processes} |",
        f"| faults | {sum(result.faults.values())} |",
        f"| duration | {result.seconds:.0f} s |",
        f"| **violations of the invariants** | **{len(result.violations)}** |",
        f"| the check | {result.check_seconds:.0f} s, {result.memory_mb:,} MB |",
        "",
    ]
    return "\n".join([*head, *_table("fault", result.faults), *_table("operation", result.operations), *_table("outcome", result.outcomes)])


def _table(title: str, counts: Counter[str]) -> list[str]:
    return [f"| {title} | times |", "|---|---:|", *(f"| {name} | {count:,} |" for name, count in counts.most_common()), ""]


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
