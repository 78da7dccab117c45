"""What is written about a crew, and read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from octet.crew.record import CrewDirectory, CrewReport, WantedCrew


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"members": 3}', '{"members": [{"name": 1}]}', "\0", '{"root": "/x"}']
)
def test_records_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    """A damaged record is as good as none."""
    directory = CrewDirectory(tmp_path)
    for name in ("wanted.json", "crew.json"):
        (tmp_path / name).write_text(text)
    assert directory.read_wanted() is None
    assert directory.read_report() is None


def test_records_come_back(tmp_path: Path) -> None:
    """What was written is read, and only its owner can read it."""
    directory = CrewDirectory(tmp_path)
    wanted = WantedCrew("/shop", "headless", "/bin/claude", asked={"developers": 2})
    directory.write_wanted(wanted)
    directory.write_report(CrewReport("host:1:1", "headless"))
    assert directory.read_wanted() == wanted
    assert directory.read_report() == CrewReport("host:1:1", "headless")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
