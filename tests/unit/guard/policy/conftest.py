"""What a tool call needs in the shop of tests/unit/guard/conftest.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from octet.guard import policy
from octet.guard.payload import PreToolUse
from octet.guard.policy import Needs
from octet.project.repository import Project

Build = Callable[..., PreToolUse]


@pytest.fixture
def needs_of(shop: Project, tool_use: Build) -> Callable[..., Needs]:
    """What a tool needs in the shop's main checkout: `needs_of("a.py")` to write a file,
    `needs_of(bash="…")` to run a command.
    """

    def build(
        path: str = "",
        bash: str = "",
        project: Project = shop,
        cwd: Path | None = None,
        **more: str,
    ) -> Needs:
        event = (
            tool_use("Bash", {"command": bash, "timeout": 5}, cwd or project.root, **more)
            if bash
            else None
        )
        return policy.find_needs(
            event
            or tool_use(
                "Write", {"file_path": f"{project.root}/{path}"}, cwd or project.root, **more
            ),
            project,
        )

    return build
