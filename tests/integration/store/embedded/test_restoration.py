"""A restoration leaves the old data or the new, whenever it is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from octet.store import embedded
from octet.store.connection import connect
from octet.store.embedded import backups


@pytest.mark.parametrize("step", ["loaded", "decided", "moved away", "moved in"])
def test_a_restoration_that_is_killed(
    running: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Killed at any step, the next start has the old data or the whole backup, never neither."""

    class Killed(BaseException):
        pass

    target = running.parent / "b.aof"
    with connect(None) as client:
        client.set("old", "1")
        backups.write_backup(target)
        client.flushall()
        client.set("new", "1")
    renames = {"decided": 0, "moved away": 1, "moved in": 2}.get(step, 9)
    rename = Path.rename

    def dying(self: Path, to: Path) -> Path:
        nonlocal renames
        if renames == 0:
            raise Killed
        renames -= 1
        return rename(self, to)

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dying)
        if step in {"loaded", "moved in"}:
            patch.setattr(
                "octet.store.embedded.backups.end_server"
                if step == "loaded"
                else "octet.store.embedded.backups.start_server",
                die,
            )
        with pytest.raises(Killed):
            backups.restore(target)
    embedded.stop_server(force=True)
    with connect(None) as client:
        assert sorted(client.keys()) == (["new"] if step == "loaded" else ["old"])
    assert not (running / "restored").exists()
