"""Which change of a locked file counts as another agent's overwrite; files and clock of the test's
own, no store.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.daemon.fakes import agent, project

from octet.client.api import Octet
from octet.core.locks.locks import Lock
from octet.daemon.hooks import overwrites
from octet.daemon.hooks.overwrites import OverwriteDetector
from octet.daemon.projects.sessions import ProjectSession

COMMAND = (7, "t1")


def locked(root: Path, *paths: str, name: str = "shop") -> ProjectSession:
    """A project in which developer-2 has locked these paths."""
    found = project(name, root=root)
    locks = [Lock(f"path:{path}", "developer-2", "1") for path in paths]
    store: Any = SimpleNamespace(locks=SimpleNamespace(list=lambda: locks))
    octet: Octet = store
    found.octet = octet
    return found


def begin(detector: OverwriteDetector, shop: ProjectSession) -> None:
    """developer-1 starts a shell command, and the snapshot is taken."""
    detector.note_write(shop, agent(), [], COMMAND)
    detector.begin(shop, agent(), COMMAND)
    detector._pool.submit(lambda: None).result()


def end(detector: OverwriteDetector, shop: ProjectSession) -> list[str]:
    return [found.path for found in detector.end(shop, COMMAND)]


@pytest.fixture
def detector() -> OverwriteDetector:
    return OverwriteDetector()


def test_a_locked_file_that_changed_is_found(detector: OverwriteDetector, tmp_path: Path) -> None:
    """Also one that a locked directory or pattern covers; not what stayed as it was."""
    for name in ("a.py", "src/b.py", "src/c.txt", "lib/d.py", "e.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    shop = locked(tmp_path, "a.py", "src/*.py", "lib/", "e.py")
    begin(detector, shop)
    for name in ("a.py", "src/b.py", "src/c.txt", "lib/d.py"):
        (tmp_path / name).write_text("made")
    assert sorted(end(detector, shop)) == ["a.py", "lib/d.py", "src/b.py"]
    assert end(detector, shop) == [], "the command has ended"


def test_what_the_holder_wrote_itself_does_not_count(
    detector: OverwriteDetector, tmp_path: Path
) -> None:
    """Just before, meanwhile, or by a command of its own that still runs."""
    shop, holder = locked(tmp_path, "a.py"), agent("developer-2")
    begin(detector, shop)
    detector.note_write(shop, holder, ["path:a.py"])
    (tmp_path / "a.py").write_text("1")
    assert end(detector, shop) == []
    detector._written.clear()
    detector.note_write(shop, holder, ["path:a.py"], (8, "t2"))
    begin(detector, shop)
    (tmp_path / "a.py").write_text("22")
    assert end(detector, shop) == []


def test_a_namesake_in_another_project_is_not_the_holder(
    detector: OverwriteDetector, tmp_path: Path
) -> None:
    """Another project's developer-2 writes its own a.py: that is no excuse for this one."""
    shop, holder = locked(tmp_path, "a.py"), agent("developer-2")
    begin(detector, shop)
    detector.note_write(project("bank"), holder, ["path:a.py"])
    detector.note_write(project("shop", url="unix:///other"), holder, ["path:a.py"], (8, "t2"))
    (tmp_path / "a.py").write_text("1")
    assert end(detector, shop) == ["a.py"]


def test_memory_is_bounded(
    detector: OverwriteDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted commands never end, and a large directory is looked at in part."""
    monkeypatch.setattr(overwrites, "MAX_FILES", 3)
    for number in range(9):
        (tmp_path / f"{number}.py").touch()
    shop = locked(tmp_path, "*.py")
    for number in range(overwrites.MAX_RUNNING + 9):
        detector.note_write(shop, agent(), ["path:x"], (number, "t"))
        detector.begin(shop, agent(), (number, "t"))
    assert len(detector._running) <= overwrites.MAX_RUNNING
    assert len(detector._snapshots) <= overwrites.MAX_RUNNING
    begin(detector, shop)
    for path in tmp_path.glob("*.py"):
        path.write_text("made")
    assert len(end(detector, shop)) == 3


def test_a_snapshot_that_is_not_ready_says_nothing(
    detector: OverwriteDetector, tmp_path: Path
) -> None:
    """A hook does not wait for a slow store; without a connection none is taken."""
    down = project(root=tmp_path)
    detector.begin(down, agent(), COMMAND)
    assert end(detector, down) == []
