"""The daemon's log: bounded, in UTC, and no trouble when it cannot be written."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from octet.daemon.process import log


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """The logger is the process's: give it back as it was."""
    logger, raising = logging.getLogger("octet"), logging.raiseExceptions
    before = (list(logger.handlers), logger.propagate, logger.level)
    yield
    for handler in logger.handlers:
        handler.close()
    logger.handlers[:], logger.propagate = before[:2]
    logger.setLevel(before[2])
    logging.raiseExceptions = raising


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three files, each below its limit."""
    monkeypatch.setattr(log, "MAX_BYTES", 1000)
    logger = log.configure(tmp_path)
    for number in range(200):
        logger.info("line %d \ud800", number)
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["daemon.log", "daemon.log.1", "daemon.log.2"]
    assert all(path.stat().st_size <= 1000 for path in files)
    assert "line 199" in files[0].read_text()


def test_it_cannot_hurt(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither an exception nor a line on standard error when its directory is gone."""
    logger = log.configure(tmp_path / "missing")
    logger.error("nobody hears this")
    assert capfd.readouterr() == ("", "")


def test_an_unknown_level_is_the_usual_one(tmp_path: Path) -> None:
    """OCTET_LOG is a person's word and may be misspelt."""
    assert log.configure(tmp_path, level="LOUD").level == logging.INFO
    assert log.configure(tmp_path, level="DEBUG").level == logging.DEBUG
