"""The torture in short: Octet stands it, and an Octet with a bug in it does not. In long:
`scripts/torture` and docs/torture.md.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.chaos.torture import plan
from tests.chaos.torture.bugs import BUGS, Bug, plant

import octet

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
SEED = "20261122"


def torture(*arguments: str, package: Path) -> subprocess.CompletedProcess[str]:
    """A run of its own process, with Octet from `package`."""
    command = [sys.executable, "-m", "tests.chaos.torture", "--seed", SEED, *arguments]
    env = os.environ | {"PYTHONPATH": f"{package}{os.pathsep}{ROOT}"}
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=200, check=False
    )


def test_octet_stands_it() -> None:
    """Fifty processes for some seconds, with a fault every half second: nothing contradicts the
    invariants.
    """
    done = torture(
        "--seconds",
        "8",
        "--workers",
        "50",
        "--fault-every",
        "0.5",
        package=Path(octet.__file__).parents[1],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n0 violations" in done.stdout
    assert int(done.stdout.split(" operations of ")[0].split()[-1]) > 500


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_every_seeded_bug_is_caught(bug: Bug, tmp_path: Path) -> None:
    """Some thousand operations, or some burials, of eight processes show which invariant is broken,
    with the operations that show it.
    """
    faults = ["kill worker"] if bug.kills else []
    enough = ["--seconds", "3"] if bug.buries else ["--operations", "3000"]
    few = [*enough, "--workers", "8", "--no-daemon", "--fault-every", "0.1"]
    done = torture(*few, "--mix", bug.mix, "--faults", *faults, package=plant(bug, tmp_path))
    assert done.returncode == 1, done.stderr
    assert re.search(rf"^invariant {bug.invariant}: .*(\n    .*)*", done.stdout, re.MULTILINE), (
        done.stdout + done.stderr
    )


def test_a_seed_decides_the_faults() -> None:
    """The same seed gives the same faults at the same times, another one others."""
    first, again, other = (
        list(itertools.islice(plan.faults(seed, 2.0, 50), 200)) for seed in (7, 7, 8)
    )
    assert first == again != other
    assert {fault.kind for fault in first} == set(plan.FAULTS)
    assert [plan.chance_of(7, 3, 1).random(), plan.chance_of(7, 3, 2).random()] != [
        plan.chance_of(7, 3, 1).random()
    ] * 2
