"""docs/reliability.md says what is tested, and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]
NAME = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows() -> list[str]:
    """The rows of tables that have a column of tests."""
    found, tested = [], False
    for line in (PROJECT / "docs" / "reliability.md").read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            tested = False
        elif line.rstrip("| ").endswith("| test"):
            tested = True
        elif tested and not line.startswith("|---"):
            found.append(line)
    return found


def test_every_row_names_tests_that_exist() -> None:
    """A fault without a test, or with one that was renamed, is only a claim."""
    assert len(rows()) > 40
    defined: dict[str, set[str]] = {}
    for row in rows():
        names = NAME.findall(row)
        assert names, row
        for file, test in names:
            if file not in defined:
                tree = ast.parse((PROJECT / file).read_text(encoding="utf-8"))
                defined[file] = {
                    node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
                }
            assert test in defined[file], f"{file}::{test}"
