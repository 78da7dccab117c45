"""docs/patterns.md and examples/: every example is run, and every prompt names commands that exist
and run unasked.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Shop
from tests.unit.install.test_assets import resolve

import octet as package
from octet.guard.octet_command import is_prompt_free, read_octet_command

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "patterns.md").read_text()
SECTIONS = {part.splitlines()[0]: part for part in TEXT.split("\n## ")[1:]}
BLOCK = re.compile(r"```(\w+) (\w+)\n(.*?)```", re.DOTALL)
DEADLINE_S = 60


def environment(directory: Path) -> dict[str, str]:
    """With `octet` on PATH, and Python able to import it."""
    programs = directory / "bin"
    programs.mkdir(exist_ok=True)
    program = programs / "octet"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m octet "$@"\n')
    program.chmod(0o755)
    return os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(package.__file__).parents[1]),
    }


@pytest.mark.parametrize("name", SECTIONS)
def test_every_example_runs(shop: Shop, tmp_path: Path, name: str) -> None:
    """The blocks of a section, in their order, each as it stands."""
    (shop.root / "src").mkdir()
    for file in ("app", "utils", "config"):
        (shop.root / "src" / f"{file}.ts").write_text("let a = 1\n")
    for language, kind, text in BLOCK.findall(SECTIONS[name]):
        if kind == "run":
            command = (
                ["sh", "-eu", "-c", text]
                if language == "sh"
                else [sys.executable, "-c", f"import octet\n{text}"]
            )
            done = subprocess.run(
                command,
                cwd=shop.root,
                env=environment(tmp_path),
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
            )
            assert (done.returncode, done.stderr) == (0, ""), text + done.stdout + done.stderr


@pytest.mark.parametrize("name", SECTIONS)
def test_prompts_name_what_exists_and_needs_no_permission(name: str) -> None:
    """Agents are told nothing that would stop them at a question."""
    for _, _, text in (block for block in BLOCK.findall(SECTIONS[name]) if block[1] == "prompt"):
        for call in re.findall(r"`(octet [^`]*)`", text):
            words = read_octet_command(call)
            assert words is not None, call
            assert is_prompt_free(words), call
            command, rest = resolve(list(words[1:]))
            options = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in rest if word.startswith("--")} <= options, call


def test_every_block_is_marked() -> None:
    """Every example in the text is run, and each pattern has all its forms; only the section on how
    they are built has none.
    """
    assert len(re.findall(r"^```\w", TEXT, re.MULTILINE)) == len(BLOCK.findall(TEXT))
    for name, text in SECTIONS.items():
        kinds = {(language, kind) for language, kind, _ in BLOCK.findall(text)}
        if name == "How they are built":
            assert not kinds
            continue
        assert ("sh", "run") in kinds, name
        assert name in ("Clean-up", "Looking into it") or kinds == {
            ("sh", "run"),
            ("python", "run"),
            ("text", "prompt"),
        }, name
        assert "Raw:" in text, name


EXAMPLES = sorted((ROOT / "examples").glob("*.*"))


@pytest.mark.chaos
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_script_ends_right(shop: Shop, tmp_path: Path, path: Path) -> None:
    """Three workers and more, one of them killed in the middle; it checks its own end, says so, and
    leaves nothing in the store.
    """
    command = ["sh" if path.suffix == ".sh" else sys.executable, str(path)]
    done = subprocess.run(
        command,
        cwd=shop.root,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("ended right")
    left = [key for key in shop.octet.store.client.scan_iter() if ":run:" in key]
    assert left == []
