"""Git's own list of ignored files, `info/exclude`: it hides Octet's files from `git status`."""

from __future__ import annotations

from pathlib import Path

WORKTREES = "/.claude/worktrees/"
OURS = (WORKTREES, "/.env.octet")  # the second names a worktree's ports


def path_in(common_dir: Path) -> Path:
    """Where the list of a repository is, from its common git directory."""
    return common_dir / "info" / "exclude"


def add_ours(text: str) -> str:
    """The list with our lines at its end; unchanged when it has them."""
    missing = [line for line in OURS if line not in text.splitlines()]
    if not missing:
        return text
    return text + ("\n" if text and not text.endswith("\n") else "") + "\n".join(missing) + "\n"


def remove_ours(text: str) -> str:
    """The list without our lines."""
    return "".join(
        line for line in text.splitlines(keepends=True) if line.rstrip("\r\n") not in OURS
    )
