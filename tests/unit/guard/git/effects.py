"""What a command does to the branches of a project, as the tests of git's commands write it."""

from __future__ import annotations

from pathlib import Path

from octet.guard.git.script import Moves, git_effects
from octet.guard.shell import script as shell
from octet.guard.shell.writes import Write
from octet.project.repository import Project

MAIN = {"main"}
MASTER = {"master"}
BOTH = {"main", "master"}
NOTHING: set[str] = set()
REFUSED = {"refused"}


def effects_of(command: str, project: Project, start: Path | None = None) -> set[str]:
    """Names of the branches that the command moves, and "refused" if it is refused."""
    cwd = str(start or project.root)
    found = git_effects(shell.parse(command, cwd, home="/nowhere", toplevel=cwd), project, cwd)
    done = [found.effect for found in found if not isinstance(found.effect, Write)]
    return {effect.branch if isinstance(effect, Moves) else "refused" for effect in done}
