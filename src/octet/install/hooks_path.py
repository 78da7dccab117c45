"""An include at the end of git's configuration file, as text: it sets `core.hooksPath`, and
outweighs what the file says before.

It holds in the repository's present place only, so that one that is moved or copied has its own
hooks again.
"""

from __future__ import annotations

import re
from pathlib import Path

CONFIG = "octet/hooks.config"  # seen from git's directory
_SECTION = re.compile(rf'\n?\[includeIf "gitdir:[^\n]*"\]\n\tpath = {re.escape(CONFIG)}\n')


def add_include(text: str, common: Path) -> str:
    """The configuration `text` with the include for the git directory `common` at its end, or where
    nothing after it names another.
    """
    pattern = re.sub(r"([*?\[\\])", r"\\\1", str(common))
    named = pattern.replace("\\", "\\\\").replace('"', '\\"')
    sections = "".join(
        f'[includeIf "gitdir:{named}{end}"]\n\tpath = {CONFIG}\n' for end in ("", "/worktrees/")
    )
    before, there, after = text.rpartition(sections)
    if there and (not before or before.endswith("\n")) and "hookspath" not in after.lower():
        return text
    rest = remove_include(text)
    return rest + ("\n" if rest and not rest.endswith("\n") else "") + sections


def remove_include(text: str) -> str:
    """The configuration without it, wherever it was for."""
    return _SECTION.sub(lambda found: "\n" if found[0].startswith("\n") else "", text)
