"""Which code a daemon runs, and which of two builds is newer: so daemons replace each other."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]
_VERSION = re.compile(r'^__version__ = "([^"]+)"', re.MULTILINE)


@dataclass(frozen=True)
class Build:
    """A copy of the package: version, a hash of its contents, and when its newest file changed (ns
    since 1970).
    """

    version: str
    fingerprint: str
    modified_ns: int

    def is_newer_than(self, other: Build) -> bool:
        """A total order, so that two copies never take turns in replacing each other."""
        if self.fingerprint == other.fingerprint:
            return False
        return self._order() > other._order()

    def _order(self) -> tuple[list[int], int, str]:
        return (
            [int(number) for number in re.findall(r"\d+", self.version)[:3]],
            self.modified_ns,
            self.fingerprint,
        )


def read_build(package: Path = PACKAGE) -> Build | None:
    """The build in a directory `octet`; None when there is none, or it is being removed."""
    digest = hashlib.sha256()
    modified_ns = 0
    try:
        version = _VERSION.search((package / "__init__.py").read_text(encoding="utf-8"))
        for path in sorted([*package.rglob("*.py"), *package.rglob("*.lua")]):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(package)} {len(content)}\n".encode() + content)
            modified_ns = max(modified_ns, path.stat().st_mtime_ns)
    except (OSError, UnicodeError):
        return None
    return Build(version[1], digest.hexdigest()[:16], modified_ns) if version else None
