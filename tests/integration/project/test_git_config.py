"""Git's configuration files, read by hand; git itself is the judge."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from octet.project import git_config

TEXT = """\
# comment
[core]
\tbare = false ; comment
  Worktree = "../my tree" # comment
[alias] ci = commit
\tst=status -s
\tlg = "log --format='%h # %s'" --graph
\tq = a \\"b\\" \\\\ c\\td
\tlong = one \\
two
\tflag
\tst = status -sb
[alias "sub"]
\tx = nothing
[ALIAS]
\tup = push
"""


def test_sections_are_read_as_git_reads_them(tmp_path: Path) -> None:
    """Comments, quotes, escapes, continued lines, repeated keys and sections; no subsections."""
    path = tmp_path / "config"
    path.write_text(TEXT)
    aliases = git_config.section(path, "alias")
    assert sorted(aliases) == ["ci", "flag", "lg", "long", "q", "st", "up"]
    assert git_config.section(path, "core") == {"bare": "false", "worktree": "../my tree"}
    for name, value in aliases.items():
        if name != "flag":  # git's own output for a key without a value is empty
            command = ["git", "config", "--file", str(path), f"alias.{name}"]
            told = subprocess.run(
                command,
                capture_output=True,
                check=True,
                text=True,
                env={"PATH": os.environ["PATH"]},
            ).stdout
            assert value == told.removesuffix("\n")
