"""The tests lie like the packages: each module has a test file of its own name, or a reason."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
SOURCE = TESTS.parent / "src" / "octet"
LISTED = dict(
    re.findall(r"^\| `([\w/]+\.py)` \| (.+) \|$", (TESTS / "untested.md").read_text(), re.MULTILINE)
)


def modules() -> list[Path]:
    found = (path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))
    return [path for path in found if path.stem not in ("__init__", "__main__")]


def has_test_file(module: Path) -> bool:
    name = f"test_{module.name}"
    places = [TESTS / kind / module.parent for kind in ("unit", "integration", "hooks")]
    if module.parts[0] == "cli":
        places.append(TESTS / "cli")
    return any((place / name).exists() for place in places)


def test_every_module_has_a_test_file_or_a_reason() -> None:
    without = {str(module) for module in modules() if not has_test_file(module)}
    assert without == set(LISTED)


def test_every_reason_names_what_exists() -> None:
    """A reason that points to tests points to some that are there."""
    named = [
        path for reason in LISTED.values() for path in re.findall(r"`(tests/[\w/.]+)`", reason)
    ]
    assert named
    assert [path for path in named if not (TESTS.parent / path).exists()] == []
