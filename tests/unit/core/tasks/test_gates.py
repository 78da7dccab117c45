"""Which gates a task passes."""

from __future__ import annotations

import pytest

from octet.base.vocabulary import GATES
from octet.core.tasks.gates import gates_for
from octet.core.tasks.record import Task
from octet.project.config import Config

PROJECT = Config("shop", security_paths=("src/auth/**", "*.pem"))


@pytest.mark.parametrize(
    ("own", "labels", "paths", "expected"),
    [
        ((), (), (), "review test merge"),
        ((), ("ui",), ("src/ui/a.py",), "review test merge"),
        ((), ("security",), (), "review security test merge"),
        ((), (), ("src/ui/a.py", "src/auth/login.py"), "review security test merge"),
        ((), (), ("deep/down/key.pem",), "review security test merge"),
        (("merge",), (), ("docs/a.md",), "merge"),
        (("merge",), ("security",), (), "security merge"),
        (("test", "merge"), (), ("src/auth",), "test merge"),
        (("test", "merge"), (), ("src/auth/a",), "security test merge"),
        (("security", "merge"), (), ("src/auth/a",), "security merge"),
    ],
)
def test_gates_of_a_task(
    own: tuple[str, ...], labels: tuple[str, ...], paths: tuple[str, ...], expected: str
) -> None:
    """Its own or the project's, in their order, with security where label or path calls for it."""
    task = Task("1", "x", "claimed", gates=own, labels=labels)
    assert gates_for(task, paths, PROJECT) == tuple(expected.split())


def test_deciding_again_takes_nothing_away() -> None:
    """A task that once had to pass security passes it with its next commit, too."""
    first = gates_for(Task("1", "x", "claimed"), ["src/auth/a"], PROJECT)
    assert gates_for(Task("1", "x", "claimed", gates=first), ["docs/a.md"], PROJECT) == first


def test_a_project_may_want_all_or_the_merge_alone() -> None:
    """The default is the project's own; nothing calls for security where it named neither labels
    nor paths.
    """
    task = Task("1", "x", "claimed", labels=("security",))
    assert gates_for(task, ["a"], Config("shop", gates=GATES)) == GATES
    assert gates_for(task, ["a"], Config("shop", gates=("merge",), security_labels=())) == (
        "merge",
    )
