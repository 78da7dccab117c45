"""Glob patterns over repository-relative paths."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octet.base.globs import matches, matches_any


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("*.log", ["a.log", "x/y/a.log"], ["a.log.txt", "log"]),
        ("build", ["build", "build/a/b", "x/build/a"], ["builds", "rebuild/a"]),
        ("build/", ["build/a", "x/build/a"], ["builds/a"]),
        ("/build", ["build", "build/a"], ["x/build"]),
        ("build/**", ["build/a", "build/a/b"], ["build", "x/build/a"]),
        ("src/*.py", ["src/a.py"], ["src/x/a.py", "x/src/a.py", "src/a.pyc"]),
        ("src/**/a.py", ["src/a.py", "src/x/a.py", "src/x/y/a.py"], ["a.py", "src/b.py"]),
        ("**/gen/**", ["gen/a", "x/gen/a/b"], ["gen", "x/gen", "genx/a"]),
        ("**", ["a", "a/b"], []),
        ("docs/?.md", ["docs/a.md"], ["docs/ab.md", "docs/a/b.md"]),
        ("[ab].md", ["a.md", "x/b.md"], ["c.md"]),
        ("", [], ["a"]),
    ],
)
def test_patterns(pattern: str, inside: list[str], outside: list[str]) -> None:
    """As in `.gitignore`: without a slash at any depth, with one from the root, a directory with
    all in it.
    """
    assert all(matches(path, pattern) for path in inside)
    assert not any(matches(path, pattern) for path in outside)


def test_one_of_several() -> None:
    """Any pattern will do, and none matches nothing."""
    assert matches_any("a.log", ["*.txt", "*.log"])
    assert not matches_any("a.log", [])


def test_many_stars_do_not_backtrack() -> None:
    """A hostile pattern costs no more than its length times the path's."""
    begin = time.process_time()
    assert not matches("a/" * 400 + "b", "**/a/" * 60 + "c")
    assert time.process_time() - begin < 2


@given(st.text(max_size=20), st.text(alphabet="*?[]ab/!", max_size=12))
def test_nothing_raises(path: str, pattern: str) -> None:
    """Any pattern gives an answer for any path."""
    assert isinstance(matches(path, pattern), bool)
