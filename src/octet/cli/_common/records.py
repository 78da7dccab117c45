"""How the records of a task's gates are shown to people and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from octet.base.text import age, plain
from octet.core.tasks.record import Task
from octet.core.tasks.verdicts import Record

MAX_LINES = 40
MAX_LINE = 500


def records_data(task: Task, records: Sequence[Record]) -> list[dict[str, Any]]:
    """For `--json`: each record's fields; `stale` if it is about another commit than the task's."""
    return [{**asdict(record), "stale": record.is_stale(task.commit)} for record in records]


def summary_lines(task: Task, records: Sequence[Record], now_ms: int) -> list[str]:
    """A line for each record."""
    return [
        f"  {record.gate:<9} {_headline(task, record, now_ms)}{_ran(record)}" for record in records
    ]


def full_lines(task: Task, records: Sequence[Record], now_ms: int) -> list[str]:
    """All of each record."""
    lines: list[str] = []
    for record in records:
        lines.append(
            f"{record.n}. {plain(record.gate)}: {_headline(task, record, now_ms)}{_ran(record)}"
        )
        lines += [
            f"   {line}"
            for line in text_lines("\n".join([*map(str, record.findings), record.note]))
        ]
        lines += [
            f"   | {line}" for line in text_lines(_text(record.evidence, "output"))[-MAX_LINES:]
        ]
    return lines


def text_lines(text: str) -> list[str]:
    """The lines of a text from elsewhere, made plain; as many as fit."""
    lines = [plain(line, MAX_LINE) for line in text.splitlines() if line.strip()]
    return (
        lines
        if len(lines) <= MAX_LINES
        else [*lines[: MAX_LINES - 1], f"… and {len(lines) - MAX_LINES + 1} lines more"]
    )


def _headline(task: Task, record: Record, now_ms: int) -> str:
    stale = ", stale: the task has another commit now" if record.is_stale(task.commit) else ""
    at = f" at {plain(record.commit, 12)}" if record.commit else ""
    return (
        f"{plain(record.verdict)} by {plain(record.by)}{at}, {age(record.at_ms, now_ms)} ago{stale}"
    )


def _ran(record: Record) -> str:
    """The evidence in one line: command, exit code, duration, last line of output."""
    command = _text(record.evidence, "command")
    if not record.evidence or not command:
        return ""
    ended, took = record.evidence.get("exit_code"), record.evidence.get("duration_ms")
    facts = [f"`{plain(command)}`"]
    facts += [f"exit code {ended}"] if isinstance(ended, int) else []
    facts += [f"{took / 1000:.1f} s"] if isinstance(took, int | float) else []
    last = [line for line in _text(record.evidence, "output").splitlines() if line.strip()][-1:]
    return f"; {', '.join(facts)}{''.join(f': {plain(line)}' for line in last)}"


def _text(evidence: Mapping[str, Any] | None, name: str) -> str:
    value = (evidence or {}).get(name)
    return value if isinstance(value, str) else ""
