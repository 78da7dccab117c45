"""200 tasks with random scopes and dependencies, ten developers as processes that edit real files,
one merge queue.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.feature import Size, build_feature, passes

from octet.git.program import REDIRECTIONS, Git


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with a short name, for a server's socket; what is put into the environment is
    taken out again.
    """
    for name in REDIRECTIONS:
        monkeypatch.delenv(name, raising=False)
    for name in ("OCTET_HOME", "OCTET_DAEMON"):
        monkeypatch.setenv(name, "")
    made = Path(tempfile.mkdtemp(prefix="octet-feature-")).resolve()
    yield made
    shutil.rmtree(made)


@pytest.mark.chaos
@pytest.mark.timeout(400)
def test_a_feature_of_two_hundred_tasks(directory: Path) -> None:
    """Every task lands once, in the order of its dependencies; the tests pass at every state of the
    branch; nothing is built twice.
    """
    size = Size(least_s=0.0, most_s=0.2)
    built = build_feature(directory, size)
    root = directory / "shop"
    assert [tip for tip in built.tips if not passes(root, tip)] == []
    assert built.rebuilt == 0, (
        "no conflict and no failing combination: scopes keep work in flight apart"
    )
    steps = [
        line
        for part in (root / "parts").iterdir()
        for line in part.read_text().splitlines()
        if line.startswith("step")
    ]
    assert len(set(steps)) == size.tasks
    git = Git(root)
    assert git.out("status", "--porcelain") == ""
    tasks = [
        word
        for line in git.out(
            "log", "--format=%(trailers:key=Octet-Task,valueonly)", "--first-parent"
        ).splitlines()
        if (word := line.strip())
    ]
    assert sorted(tasks) == sorted(f"t{number}" for number in range(size.tasks))
