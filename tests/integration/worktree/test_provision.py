"""Ignored files and ports in a new worktree: what is copied, and that no link is followed."""

from __future__ import annotations

from pathlib import Path

from tests.integration.worktree.conftest import prepare

from octet.client.api import Octet
from octet.git.program import Git
from octet.worktree.creation import prepare_worktree


def test_ignored_files_are_copied_as_the_list_says(
    octet: Octet, root: Path, tmp_path: Path
) -> None:
    """Gitignored and named: copied with its mode; not ignored, not named, or leading out of the
    repository: not.
    """
    (root / ".worktreeinclude").write_text(".env\nprivate/**\nnot-ignored\n")
    (tmp_path / "outside").write_text("secret")
    (root / ".env").write_text("KEY=1")
    (root / ".env").chmod(0o600)
    (root / "private").mkdir()
    (root / "private" / "new\nline").write_text("x")
    (root / "private" / "out").symlink_to(tmp_path / "outside")
    (root / "private" / "in").symlink_to("new\nline")
    (root / "not-ignored").write_text("x")
    (root / "other.log").write_text("x")
    _, _, prepared = prepare(octet)
    path = Path(prepared.path)
    assert (path / ".env").read_text() == "KEY=1"
    assert (path / ".env").stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in (path / "private").iterdir()) == ["in", "new\nline"]
    assert not (path / "not-ignored").exists()
    assert not (path / "other.log").exists()
    assert any("out of the repository" in notice for notice in prepared.notices)


def test_a_branch_with_a_hostile_link_gets_nothing_written_through_it(
    octet: Octet, root: Path, tmp_path: Path
) -> None:
    """`private` is a link out of the worktree on the branch, `.env.octet` one to a file of the
    person: neither is followed.
    """
    (tmp_path / "victim").write_text("mine")
    git = Git(root)
    (root / "private").symlink_to(tmp_path)
    git.out("add", "--force", "private")
    git.out("commit", "--quiet", "-m", "a trap")
    (root / "private").unlink()
    (root / "private").mkdir()
    (root / "private" / "planted").write_text("x")
    (root / ".worktreeinclude").write_text("private/planted\n")
    _, _, prepared = prepare(octet)
    assert not (tmp_path / "planted").exists()
    (Path(prepared.path) / ".env.octet").unlink()
    (Path(prepared.path) / ".env.octet").symlink_to(tmp_path / "victim")
    agent = octet.agents.list()[0]
    prepare_worktree(octet, agent, octet.tasks.held_by(agent.id)[0])
    assert (tmp_path / "victim").read_text() == "mine"
