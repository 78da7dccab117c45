"""One name, one meaning: no class or function stands in two modules, but those listed here."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.names import duplicates

# Why a name may stand in several modules.
LOGGERS = {"log"}
ENTRY_POINTS = {"main"}
# Verbs whose module is the noun: callers write `manifest.load()` and `config.load()`.
VERBS = """
    build call check connect decide examine install launch load parse render repair start
"""
# Still to be renamed: the second meaning, and nothing may be added.
DEBT = {
    "Event": "guard.payload: what a hook event of the client has",
    "Reply": "daemon.protocol.wire and guard.reply: the answer to a hook",
    "Step": "demo.sample: one change of the scripted feature",
    "Verdict": "guard.policy.judgement: the decision on a tool call",
    "Worker": "daemon.supervisor: the process of a worker",
}


def test_one_name_has_one_meaning() -> None:
    """A class, type alias or function is defined in one module of the package."""
    allowed = LOGGERS | ENTRY_POINTS | set(VERBS.split()) | set(DEBT)
    assert not {name: where for name, where in duplicates().items() if name not in allowed}


@pytest.mark.parametrize("name", [*LOGGERS, *ENTRY_POINTS, *VERBS.split()])
def test_what_is_allowed_is_needed(name: str) -> None:
    """A name that is defined once needs no entry."""
    assert name in duplicates()


def test_a_second_definition_is_found(tmp_path: Path) -> None:
    """Of classes, aliases and functions; not of constants, private names and commands."""
    text = "class Turn: ...\nPlace = tuple[str, str]\ndef decide(): ...\nMAX = 3\ndef _own(): ...\n"
    (tmp_path / "cli").mkdir()
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(text)
    (tmp_path / "cli" / "queue.py").write_text("def decide(): ...\n")
    assert duplicates(tmp_path) == {name: ["a.py", "b.py"] for name in ("Place", "Turn", "decide")}
