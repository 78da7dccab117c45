"""Options and operands, as most programs read them."""

from __future__ import annotations

import pytest

from octet.guard.shell import programs
from octet.guard.shell.options import parse_options

CASES: list[tuple[list[str], str, dict[str, str], list[str]]] = [
    (["a", "b"], "", {}, ["a", "b"]),
    (["-f", "a"], "", {"f": ""}, ["a"]),
    (["-fd", "a"], "", {"f": "", "d": ""}, ["a"]),
    (["-o", "a", "b"], "o", {"o": "a"}, ["b"]),
    (["-oa", "b"], "o", {"o": "a"}, ["b"]),
    (["-fo", "a", "b"], "o", {"f": "", "o": "a"}, ["b"]),
    (["--out", "a", "b"], "out", {"out": "a"}, ["b"]),
    (["--out=a", "b"], "out", {"out": "a"}, ["b"]),
    (["--out=a", "b"], "", {"out": "a"}, ["b"]),
    (["--out"], "out", {"out": ""}, []),
    (["-o"], "o", {"o": ""}, []),
    (["-f", "--", "-a", "b"], "", {"f": "", "--": ""}, ["-a", "b"]),
    (["-", "a"], "", {}, ["-", "a"]),
    (["-u", "a"], "user", {"u": ""}, ["a"]),
]


@pytest.mark.parametrize(("words", "valued", "options", "operands"), CASES)
def test_words_are_options_values_and_operands(
    words: list[str], valued: str, options: dict[str, str], operands: list[str]
) -> None:
    """In a cluster, attached, after a sign or as the next word; all after `--` is an operand."""
    assert parse_options(words, valued) == (options, operands)


@pytest.mark.parametrize(
    ("program", "words", "written"),
    [
        ("curl", ["--user-agent", "x", "-o", "a", "https://h/b"], ["a"]),
        ("wget", ["--user-agent", "x", "https://h/b"], ["b"]),
        ("wget", ["--post-data", "x", "-P", "d", "https://h/b"], ["d/b"]),
        ("rsync", ["--link-dest", "x", "a", "d"], ["d"]),
    ],
)
def test_a_value_is_no_operand(program: str, words: list[str], written: list[str]) -> None:
    """Each name of a long list counts by itself."""
    assert [operand.path for operand in programs.operands_of(program, words)] == written
