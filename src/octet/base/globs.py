"""Glob patterns over repository-relative paths, as people know them from `.gitignore`.

matches("src/a.py", "src/**")       # True: everything below
matches("src/a.log", "*.log")       # True: a pattern without a slash is a name at any depth
matches("src/a.py", "/a.py")        # False: a slash binds it to the root
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase


def matches_any(path: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns matches the path."""
    return any(matches(path, pattern) for pattern in patterns)


def matches(path: str, pattern: str) -> bool:
    """Whether the pattern matches the path, or a directory that it lies in."""
    parts, wanted = path.split("/"), pattern.strip("/").split("/")
    if "/" not in pattern.rstrip("/"):
        wanted.insert(0, "**")
    # The positions in the pattern that can be reached after each part of the path. There are no
    # more than the pattern has parts, so nothing backtracks.
    reached = _skip({0}, wanted)
    for part in parts:
        reached = _skip({step for at in reached for step in _steps(at, part, wanted)}, wanted)
        if len(wanted) in reached:
            return True
    return False


def _steps(at: int, part: str, wanted: list[str]) -> tuple[int, ...]:
    if at >= len(wanted):
        return ()
    if wanted[at] == "**":
        return (at, at + 1) if at == len(wanted) - 1 else (at,)
    return (at + 1,) if fnmatchcase(part, wanted[at]) else ()


def _skip(reached: set[int], wanted: list[str]) -> set[int]:
    """`**` also stands for no directory at all, except at the end."""
    found = set(reached)
    for at in sorted(reached):
        while at < len(wanted) - 1 and wanted[at] == "**":
            at += 1
            found.add(at)
    return found
