"""The command line of the torture; see the package for what it does."""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

from tests.chaos.torture import plan
from tests.chaos.torture.conductor import Options, replay, torture
from tests.chaos.torture.summary import as_markdown, as_text
from tests.chaos.torture.worker import MIX

MOST_SHOWN = 20


def main(arguments: list[str]) -> int:
    """0: nothing contradicts the invariants; 1: something does, or a worker failed."""
    given = _parser().parse_args(arguments)
    if given.plan:
        for fault in itertools.islice(
            plan.faults(given.seed, given.fault_every, given.workers, tuple(given.faults)),
            given.plan,
        ):
            print(
                f"{fault.at_s:9.3f} s  {fault.kind} (number {fault.number}, for "
                f"{fault.lasts_s:g} s)"
            )
        return 0
    result = replay(given.check) if given.check else torture(_options(given))
    for violation in result.violations[:MOST_SHOWN]:
        print(violation)
    print(as_text(result))
    if given.summary:
        given.summary.write_text(
            as_markdown(result, given.command or "scripts/torture " + " ".join(arguments)),
            encoding="utf-8",
        )
    return 1 if result.violations or result.failed else 0


def _options(given: argparse.Namespace) -> Options:
    return Options(
        seed=given.seed,
        operations=given.operations,
        seconds=given.seconds,
        workers=given.workers,
        fault_every_s=given.fault_every,
        kinds=tuple(given.faults),
        mix=tuple(given.mix),
        daemon=not given.no_daemon,
        keep=given.keep,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/torture",
        description="Many processes, many faults, and the check of their history.",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--operations", type=int, default=1_000_000, help="end after so many")
    parser.add_argument("--seconds", type=float, default=3600.0, help="end after so long")
    parser.add_argument("--workers", type=int, default=50, help="processes at a time")
    parser.add_argument(
        "--fault-every",
        type=float,
        default=2.0,
        metavar="S",
        help="seconds between faults on the average",
    )
    parser.add_argument(
        "--faults",
        nargs="*",
        choices=tuple(plan.FAULTS),
        default=tuple(plan.FAULTS),
        metavar="KIND",
    )
    parser.add_argument(
        "--mix",
        nargs="+",
        choices=tuple(MIX),
        default=tuple(MIX),
        metavar="KIND",
        help="what workers do",
    )
    parser.add_argument(
        "--no-daemon", action="store_true", help="the conductor buries the dead itself"
    )
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY", help="keep the history there")
    parser.add_argument(
        "--check", type=Path, metavar="DIRECTORY", help="only check a history that was kept"
    )
    parser.add_argument("--plan", type=int, metavar="N", help="only show the first N faults")
    parser.add_argument(
        "--summary", type=Path, metavar="FILE", help="write the summary as Markdown"
    )
    parser.add_argument(
        "--command",
        default="",
        help="with --check and --summary: the command that made the history",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
