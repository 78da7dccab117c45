"""One line of a benchmark's table: a value, its ratio to what it is measured beside, and the budget
for that ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`ratio` is None for a base line; `budget` is text such as "<= 1.3"."""

    name: str
    value: float
    unit: str
    ratio: float | None
    budget: str | None
    ok: bool


def render(rows: Sequence[Row]) -> str:
    """The rows as a plain-text table."""
    cells = [("what", "value", "", "ratio", "budget", "")]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        verdict = "" if row.budget is None else "met" if row.ok else "MISSED"
        cells.append((row.name, f"{row.value:,.2f}", row.unit, ratio, row.budget or "", verdict))
    widths = [max(len(row[n]) for row in cells) for n in range(6)]
    return "\n".join(_line(row, widths) for row in cells)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    numbers = (1, 3)
    padded = (
        cell.rjust(width) if n in numbers else cell.ljust(width)
        for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()
