"""One name for one resource."""

from __future__ import annotations

import pytest

from octet.base.errors import UsageError
from octet.core.locks.names import canonical, is_wide


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("path:src/a.py", "path:src/a.py"),
        ("path:./src//auth/../a.py", "path:src/a.py"),
        ("path:/src/a.py", "path:src/a.py"),
        ("path:src/auth/", "path:src/auth/"),
        ("path:src/auth/**", "path:src/auth/"),
        ("path:src/auth/**/**", "path:src/auth/"),
        ("path:src/auth/.", "path:src/auth/"),
        ("path:src/**/**/*.py", "path:src/**/*.py"),
        ("path:/*.py", "path:/*.py"),
        ("path:/src/*.py", "path:src/*.py"),
        ("path:*.py", "path:*.py"),
        ("path:/", "path:**"),
        ("path:.", "path:**"),
        ("path:**/**", "path:**"),
        ("path:app/[id]/page.tsx", "path:app/[id]/page.tsx"),
        ("name:a/../b/**", "name:a/../b/**"),
        ("repository:feature/x/", "repository:feature/x/"),
    ],
)
def test_a_name_is_written_in_one_way(given: str, expected: str) -> None:
    """However a path is written, it names one resource; other names are left alone."""
    assert canonical(given) == expected
    assert canonical(expected) == expected


def test_what_covers_others() -> None:
    """Directories and globs; brackets are letters, and a name is no path."""
    assert all(is_wide(f"path:{path}") for path in ("src/", "**", "*.py", "src/a?.py"))
    assert not any(map(is_wide, ("path:a.py", "path:app/[id]/page.tsx", "name:*", "repository:x/")))


@pytest.mark.parametrize("resource", ["path:../a", "path:a/../../b", "path:" + "*/" * 65])
def test_paths_that_cannot_be(resource: str) -> None:
    """Out of the repository, and deeper than anybody's."""
    with pytest.raises(UsageError):
        canonical(resource)
