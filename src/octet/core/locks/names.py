"""Names of resources in their canonical form, so that one thing has one lock.

canonical("path:src//auth/./a.py")     # "path:src/auth/a.py"
canonical("path:src/auth/**")          # "path:src/auth/": the directory and all that lies in it
canonical("path:**")                   # "path:**": the whole checkout
is_wide("path:src/*.py")               # True: `*`, `**` and `?` are wildcards; brackets are not,
                                       # because file names have them
"""

from __future__ import annotations

import re

from octet.base.errors import UsageError

PATTERN = re.compile(r"(repository|worktree|path|task|name):[^\x00-\x1f\x7f]{1,4096}", re.DOTALL)
MAX_PARTS = 64
EVERYTHING = "path:**"


def canonical(resource: str) -> str:
    """The resource's canonical name; paths are relative to the repository.

    Raises:
        UsageError: it is of no known kind, or a path that leads out of the repository.
    """
    check_resource(resource)
    return _path(resource) if resource.startswith("path:") else resource


def check_resource(resource: str) -> None:
    """Refuse a resource of no known kind.

    Raises:
        UsageError: the kinds there are.
    """
    if not PATTERN.fullmatch(resource):
        raise UsageError(
            f"resource {resource[:80]!r}: write repository:BRANCH, worktree:ID, path:FILE, "
            "task:ID or name:ANYTHING"
        )


def is_wide(resource: str) -> bool:
    """Whether it covers other paths: a directory or a glob, by its canonical name."""
    return resource.startswith("path:") and (
        resource.endswith("/") or "*" in resource or "?" in resource
    )


def _path(resource: str) -> str:
    text = resource.removeprefix("path:")
    parts: list[str] = []
    for part in text.split("/"):
        if part == ".." and not parts:
            raise UsageError(
                f"resource {resource[:80]!r} lies outside the repository: a path is relative to "
                "its root"
            )
        if part == "..":
            parts.pop()
        elif part not in ("", ".") and not (part == "**" and parts[-1:] == ["**"]):
            parts.append(part)
    if parts in ([], ["**"]):
        return EVERYTHING
    directory = text.endswith(("/", "/.", "/..")) or parts[-1] == "**"
    while parts[-1] == "**":
        parts.pop()
    name = "/".join(parts) + "/" * directory
    # A glob without a slash means that name at any depth; with one in front, only at the root.
    anchored = (
        text.startswith("/") and "/" not in name.rstrip("/") and is_wide(f"path:{name.rstrip('/')}")
    )
    if len(parts) > MAX_PARTS and is_wide(f"path:{name}"):
        raise UsageError(
            f"resource {resource[:80]!r}: a glob or directory has at most {MAX_PARTS} parts"
        )
    return f"path:{'/' * anchored}{name}"
