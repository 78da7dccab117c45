"""Connecting to a project by name, by directory and by URL, on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from octet.base.errors import NoProject, NotTrusted, UsageError
from octet.client.api import connect, open_project, store_url
from octet.project import trust
from octet.project.config import FILE
from octet.project.repository import Project, load_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A directory with a project file, approved on no machine."""
    monkeypatch.setenv("OCTET_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OCTET_REDIS_URL", raising=False)
    root = tmp_path / "shop"
    (root / ".git").mkdir(parents=True)
    (root / FILE).parent.mkdir(parents=True)
    (root / FILE).write_text('project = "shop"\n[redis]\nurl = "redis://elsewhere:6379"\n')
    return load_project(root)


def test_by_name(redis_url: str) -> None:
    """It needs no repository; the same names lead to the same keys."""
    with connect(url=redis_url, project="p") as octet:
        octet.counter("c").incr()
        assert (octet.name, octet.project) == ("p", None)
        assert redis_url.rpartition("/")[2] in octet.store_name
        assert octet.now_ms() > 1_600_000_000_000
    with connect(url=redis_url, project="p") as again:
        assert again.counter("c").get() == 1
    with pytest.raises(UsageError):
        connect(url="redis://nowhere.invalid", project="a b")


def test_a_directory_must_be_approved(project: Project, redis_url: str) -> None:
    """None at all, one that is not approved, one that is."""
    with pytest.raises(NoProject, match="octet init"):
        open_project(project.root.parent)
    with pytest.raises(NotTrusted, match="not approved"):
        open_project(project.root)
    trust.approve(project)
    assert open_project(project.root / ".claude").name == "shop"
    with connect(project.root, url=redis_url) as octet:
        assert octet.name == "shop"


def test_the_store_is_the_approved_one(project: Project) -> None:
    """A URL given by hand comes first; one that the repository changed needs approval again."""
    trust.approve(project)
    assert store_url(project) == "redis://elsewhere:6379"
    assert store_url(project, "redis://mine") == "redis://mine"
    (project.root / FILE).write_text('project = "shop"\n[redis]\nurl = "redis://evil:6379"\n')
    with pytest.raises(NotTrusted):
        store_url(load_project(project.root))
