"""Files of pipeline steps: JSON, TOML and Markdown."""

from __future__ import annotations

from pathlib import Path

import pytest

from octet.base.errors import UsageError
from octet.patterns.pipeline_files import read_step, read_steps

STEPS = {"search": "rg -l x", "report": "wc -l"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", '{"search": "rg -l x", "report": "wc -l"}'),
        ("p.toml", '[steps]\nsearch = "rg -l x"\nreport = "wc -l"\n'),
        ("p.md", "# Release\n\n- search: `rg -l x`\n2. report: ``wc -l``\n- prose\n"),
        ("P.MARKDOWN", "* search: `rg -l x`\n+ report: `wc -l`\n"),
    ],
)
def test_the_steps_of_a_file(tmp_path: Path, name: str, text: str) -> None:
    """In its order, whatever its form."""
    (tmp_path / name).write_text(text)
    assert list(read_steps(tmp_path / name).items()) == list(STEPS.items())


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("p.yaml", "a: b", "name the file"),
        ("p.json", "[", "cannot be read"),
        ("p.json", '{"a": "x", "a": "y"}', "same name"),
        ("p.json", '{"a": 1}', "step 'a' has no command"),
        ("p.json", '{"a": " "}', "step 'a' has no command"),
        ("p.json", "[1]", "has no steps"),
        ("p.toml", 'a = "x"', "has no steps"),
        ("p.toml", "=", "cannot be read"),
        ("p.md", "- a: `x`\n- a: `y`\n", "same name"),
        ("p.md", "prose", "has no steps"),
    ],
)
def test_a_file_without_steps(tmp_path: Path, name: str, text: str, why: str) -> None:
    """It is refused, with the file and the reason."""
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=why):
        read_steps(tmp_path / name)


def test_a_step_on_the_command_line() -> None:
    """NAME=COMMAND, where only the first `=` counts."""
    assert read_step(" a = x=1 y ") == ("a", "x=1 y")
    for text in ("a", "=x", "a=", "a= ", ""):
        with pytest.raises(UsageError, match="NAME=COMMAND"):
            read_step(text)
