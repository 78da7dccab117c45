"""Which commands of a script are git's, and in which checkout each of them works."""

from __future__ import annotations

from pathlib import Path

from tests.unit.guard.conftest import add_worktree, make_repository, opt_in, write

from octet.guard.git.script import git_effects
from octet.guard.shell import script as shell
from octet.project.repository import Project, load_project

from .effects import MAIN, NOTHING, REFUSED, effects_of


def test_from_outside_of_the_project(shop: Project, tmp_path: Path) -> None:
    """Where the session is says nothing; where git works does."""
    assert effects_of("git push origin main", shop, tmp_path) == NOTHING
    assert effects_of(f"cd '{shop.root}' && git push origin main", shop, tmp_path) == MAIN
    assert effects_of("git -C far commit -m x", shop, shop.root.parent) == NOTHING
    assert effects_of("git -C far stash", shop, shop.root.parent) == REFUSED


def test_a_project_without_git_has_no_effects(tmp_path: Path) -> None:
    """There is no branch to move."""
    assert effects_of("git push origin main; git gc", opt_in(tmp_path)) == NOTHING


def test_aliases_of_the_repository_and_of_the_user_are_followed(
    tmp_path: Path, homes: Path
) -> None:
    """An alias is what it stands for, wherever it is written, and git's own commands cannot be
    aliased.
    """
    project = opt_in(make_repository(tmp_path / "shop"))
    own = (
        "[core]\n\tbare = false\n[alias]\n\tci = commit -v\n\tstatus = push origin main\n[alias "
        '"x"]\n\ty = gc\n'
    )
    write(project.root / ".git/config", own)
    write(
        homes / ".gitconfig",
        '[Alias] up = "!f() { git push origin \\"$@\\"; }; f" # mine\n\tpub = push origin '
        "\\\n  main\n",
    )
    assert effects_of("git ci -m x", project) == MAIN
    assert effects_of("git CI -m x", project) == MAIN
    assert effects_of("git pub", project) == MAIN
    assert effects_of("git up topic", project) == REFUSED
    assert effects_of("git status", project) == NOTHING
    assert effects_of("git nosuch", project) == NOTHING


def test_a_worktree_that_was_added_later_is_known(tmp_path: Path) -> None:
    """Nothing about worktrees is remembered from one call to the next."""
    project = opt_in(make_repository(tmp_path / "shop"))
    place = tmp_path / "late"
    assert effects_of("git stash", project, tmp_path) == NOTHING
    add_worktree(project.root, place, "feature")
    assert effects_of("git stash", load_project(project.root), place) == REFUSED


def test_the_effect_names_its_command(shop: Project) -> None:
    """A message can say which command of a long line is meant, on one short line."""
    script = shell.parse("ls; git push origin main 'x\ny'" + " topic" * 100, str(shop.root))
    [found] = git_effects(script, shop, str(shop.root))
    assert found.command.startswith("git push origin main x y")
    assert len(found.command) <= 80


def test_very_many_git_commands_are_refused(shop: Project) -> None:
    """A line that would take too long to check is not let through."""
    assert "refused" in effects_of("git status;" * 500, shop)
