"""`python -m benchmarks [NAME…]`: one table for each of `NAMES`, or for those named; exit code 1
when a budget is missed.
"""

from __future__ import annotations

import sys
from importlib import import_module

from benchmarks.table import Row, render

NAMES = (
    "hook",
    "fence",
    "failover",
    "wake",
    "claim",
    "lock",
    "queue",
    "feature",
    "commands",
    "durability",
)


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no benchmark {unknown[0]!r}: choose from {', '.join(NAMES)}", file=sys.stderr)
        return 2
    missed = False
    for name in names or NAMES:
        rows: list[Row] = import_module(f"benchmarks.{name}").run()
        print(f"{name}\n{render(rows)}\n", flush=True)
        missed = missed or not all(row.ok for row in rows)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
