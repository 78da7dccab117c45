"""What the guard sees in a command, in one line of words: the notation of `commands.py` and of
docs/commands-seen.md.
"""

from __future__ import annotations

from octet.guard.policy import Needs
from octet.guard.shell.words import UNKNOWN


def seen(needs: Needs) -> str:
    """`src/a.py` is a path's lock, `main branch` a protected branch's, `dev-1 worktree` a
    worktree's; `src/…` is a path known in part.
    """
    if needs.refusals:
        return "refused"
    if needs.question:
        return "asks"
    found = [_named(resource) for resource in needs.resources]
    return ", ".join([*found, *(path.replace(UNKNOWN, "…") for path in needs.partial_paths)]) or "-"


def _named(resource: str) -> str:
    kind, _, name = resource.partition(":")
    return {
        "path": name,
        "repository": f"{name} branch",
        "worktree": f"{name.rpartition('/')[2]} worktree",
    }[kind]
