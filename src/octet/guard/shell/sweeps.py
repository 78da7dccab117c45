"""Paths that are known in part against what others hold.

meets("src/\\0.py", "path:src/auth/login.py")      # True: \\0 is any text, slashes as well
meets("src/auth/\\0", "path:src")                  # True: a held directory covers what lies in it
meets("docs/\\0", "path:src/**")                   # False
"""

from __future__ import annotations

import re

from octet.guard.shell.words import UNKNOWN

_PATTERN = re.compile(r"[*?\[]")


def meets(sweep: str, resource: str) -> bool:
    """Whether `sweep`, a repository-relative path with UNKNOWN in it, may mean what the resource
    (`path:…`) covers.
    """
    if not resource.startswith("path:"):
        return False
    held = resource.removeprefix("path:").rstrip("/")
    literal, _, _ = sweep.partition(UNKNOWN)
    if glob := _PATTERN.search(held):  # two patterns meet unless their literal beginnings differ
        begin = held[: glob.start()]
        return begin.startswith(literal) or literal.startswith(begin)
    return held in ("", ".") or literal.startswith(f"{held}/") or fits(sweep, held)


def fits(template: str, text: str) -> bool:
    """Whether a text may be what the template stands for."""
    # Not through a regular expression: a template with hundreds of unknown parts must not
    # backtrack.
    first, *rest = template.split(UNKNOWN)
    if not rest:
        return text == first
    if not text.startswith(first) or not text.endswith(rest[-1]):
        return False
    at = len(first)
    for part in rest[:-1]:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return at <= len(text) - len(rest[-1])
