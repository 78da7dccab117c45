"""Paths of which a part is unknown, against what other agents hold."""

from __future__ import annotations

import pytest

from octet.guard.shell.partial_paths import may_equal, may_overlap
from octet.guard.shell.words import UNKNOWN


@pytest.mark.parametrize(
    ("path", "resource", "overlaps"),
    [
        ("src/?.py", "path:src/auth/login.py", True),
        ("src/?.py", "path:src/auth/login.js", False),
        ("src/auth/?", "path:src", True),
        ("src/auth/?", "path:src/", True),
        ("docs/?", "path:src/", False),
        ("docs/?", "path:src/**", False),
        ("src/?", "path:src/*.py", True),
        ("?", "path:**", True),
        ("a?", "path:", True),
        ("?", "name:src", False),
        ("?", "repository:main", False),
    ],
)
def test_what_a_partial_path_may_mean(path: str, resource: str, overlaps: bool) -> None:
    """Files, directories and patterns; never a resource that is no path. `?` stands for UNKNOWN."""
    assert may_overlap(path.replace("?", UNKNOWN), resource) == overlaps


@pytest.mark.parametrize(
    ("template", "text", "equal"),
    [
        ("main", "main", True),
        ("main", "mainly", False),
        ("?", "", True),
        ("a?a", "a", False),
        ("a?a", "aa", True),
        ("?b?c?", "abxc", True),
        ("?b?c?", "acxb", False),
    ],
)
def test_what_a_template_may_equal(template: str, text: str, equal: bool) -> None:
    """Each unknown part is any text, the empty one too, in order and without overlap."""
    assert may_equal(template.replace("?", UNKNOWN), text) == equal


def test_many_unknown_parts_are_no_burden() -> None:
    """A regular expression would backtrack for ever."""
    assert not may_equal(f"a{UNKNOWN}" * 500 + "b", "a" * 20_000)
