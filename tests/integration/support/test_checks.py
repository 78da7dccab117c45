"""scripts/check finds what it is there for, and its parts are those of the pre-commit hooks."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LINT = "from importlinter.cli import lint_imports_command as run; run()"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and the contracts, to spoil."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(copy: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=copy,
        env={"PYTHONPATH": str(copy / "src"), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "named"),
    [
        ("base/text.py", "from octet.store import keys", "octet.base -> octet.store"),
        ("core/locks/names.py", "import octet.cli", "octet.core -> octet.cli"),
        ("guard/paths.py", "import redis", "octet.guard.paths -> redis"),
    ],
)
def test_a_planted_import_that_leads_up_is_found(
    copy: Path, module: str, line: str, named: str
) -> None:
    """The contracts hold for the tree as it is, and fail for one import more, which they name."""
    assert lint(copy)[0] == 0
    path = copy / "src" / "octet" / module
    path.write_text(path.read_text() + f"\n{line}\n")
    status, said = lint(copy)
    assert status == 1
    wanted = named.split(" -> ")
    assert all(name in said for name in wanted), said


def test_pre_commit_runs_every_part() -> None:
    """What CI checks is checked before each commit, by the same script."""
    listed = subprocess.run(
        [sys.executable, ROOT / "scripts" / "check", "--inside", "--list"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"entry: scripts/check (\w+)", hooks) == listed


def test_an_unknown_part_is_an_error_of_usage() -> None:
    """It names the parts that there are."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "check", "--inside", "spellling"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "no part spellling: ruff format" in done.stderr
