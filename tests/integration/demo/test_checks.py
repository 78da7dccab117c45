"""How the moves of the protected branch are read from a repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from octet.demo.checks import read_moves
from octet.demo.sample import BRANCH, load_sample, make_repository
from octet.merge.commits import merge_message, rollup_message
from octet.merge.model import Work


def test_moves_are_read_from_the_trailers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge names its task, a batch all of its tasks, anything else none; the first commit is no
    move.
    """
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    git = make_repository(tmp_path / "pocket", load_sample(), "true")
    works = [(Work(task, "A task", "c"), "c") for task in ("a", "b", "c")]
    for message in (merge_message(*works[0]), "by hand", rollup_message(works[1:])):
        git.out("commit", "--quiet", "--allow-empty", "-m", message)
    moves = read_moves(git)
    assert [move.tasks for move in moves] == [("b", "c"), (), ("a",)]
    assert moves[0].commit == git.commit(BRANCH)
    assert {move.tree for move in moves} == {git.out("rev-parse", f"{BRANCH}^{{tree}}")}
