"""One name, one meaning: no class or function stands in two modules, but those listed here."""

from __future__ import annotations

from pathlib import Path

from tests.support.names import duplicates

# Why a name may stand in several modules.
LOGGERS = {"log"}
ENTRY_POINTS = {"main"}
# Verbs whose module is the noun: callers write `manifest.load()` and `config.load()`.
VERBS = """
    approve build call check clear decide examine forget install judge launch load parse publish
    render repair start
"""
# Still to be renamed; nothing may be added.
DEBT = """
    Change Event Evidence Finding Outcome Place Reply State Step Verdict Worker check_name
    connect has_work is_alive read_status
"""


def test_one_name_has_one_meaning() -> None:
    """A class, type alias or function is defined in one module of the package."""
    allowed = LOGGERS | ENTRY_POINTS | set(VERBS.split()) | set(DEBT.split())
    assert not {name: where for name, where in duplicates().items() if name not in allowed}


def test_a_second_definition_is_found(tmp_path: Path) -> None:
    """Of classes, aliases and functions; not of constants, private names and commands."""
    text = "class Turn: ...\nPlace = tuple[str, str]\ndef decide(): ...\nMAX = 3\ndef _own(): ...\n"
    (tmp_path / "cli").mkdir()
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(text)
    (tmp_path / "cli" / "queue.py").write_text("def decide(): ...\n")
    assert duplicates(tmp_path) == {name: ["a.py", "b.py"] for name in ("Place", "Turn", "decide")}
