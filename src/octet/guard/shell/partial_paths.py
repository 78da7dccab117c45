"""Paths of which only a part is known: UNKNOWN in them stands for any text, slashes included.

may_overlap("src/\\0.py", "path:src/auth/login.py")    # True
may_overlap("src/auth/\\0", "path:src")                # True: a held directory covers what is in it
may_overlap("docs/\\0", "path:src/**")                 # False
"""

from __future__ import annotations

import re

from octet.guard.shell.words import UNKNOWN

_PATTERN = re.compile(r"[*?\[]")


def may_overlap(path: str, resource: str) -> bool:
    """Whether a partial path, relative to the repository, may mean a file that the resource
    (`path:…`) covers.
    """
    if not resource.startswith("path:"):
        return False
    held = resource.removeprefix("path:").rstrip("/")
    literal, _, _ = path.partition(UNKNOWN)
    if glob := _PATTERN.search(held):  # two patterns overlap unless their literal beginnings differ
        begin = held[: glob.start()]
        return begin.startswith(literal) or literal.startswith(begin)
    return held in ("", ".") or literal.startswith(f"{held}/") or may_equal(path, held)


def may_equal(template: str, text: str) -> bool:
    """Whether the template may stand for the text."""
    # No regular expression: a template with hundreds of unknown parts would backtrack.
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
