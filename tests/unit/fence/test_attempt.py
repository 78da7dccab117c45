"""The question of git's hooks as text, and the answer as git's terminal shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from octet.base.errors import UsageError
from octet.fence import attempt
from octet.fence.attempt import Attempt, RefMove
from octet.guard.policy import Verdict
from octet.project.config import Config
from octet.project.repository import Project

OLD, NEW, NONE = "1" * 40, "2" * 40, "0" * 40


def raw(lines: str, protected: str = '["release/*"]') -> bytes:
    """What `fence.client` sends, by an agent in /srv/shop."""
    return "\0".join([protected, "42", "1", "/srv/shop", "77", "dev-1", "", "5", lines]).encode()


def test_a_question_is_read() -> None:
    """Every field; names of refs may hold blanks."""
    found = attempt.parse(raw(f"{OLD} {NEW} refs/heads/main\n{OLD} {NEW} refs/heads/a b\n"))
    assert found == Attempt(
        (RefMove("refs/heads/main", OLD, NEW), RefMove("refs/heads/a b", OLD, NEW)),
        protected=("release/*",),
        cwd="/srv/shop",
        pid=42,
        claude_pid=77,
        agent="dev-1",
        token="5",
        near=True,
    )


@pytest.mark.parametrize(
    "payload", [b"", b"\0" * 8, b"\xff", raw("one word\n"), raw("", "{"), raw("", "[" * 100_000)]
)
def test_anything_else_is_an_error_of_usage(payload: bytes) -> None:
    """As when the hook is run by hand."""
    with pytest.raises(UsageError):
        attempt.parse(payload)


@pytest.mark.parametrize(
    ("ref", "new", "resources", "refused"),
    [
        ("refs/heads/main", NEW, ("repository:main",), False),
        ("refs/heads/release/1", NEW, ("repository:release/1",), False),
        ("refs/heads/main", NONE, ("repository:main",), True),
        ("refs/heads/octet/t1", NEW, (), False),
        ("refs/tags/main", NEW, (), False),
        ("HEAD", NEW, (), False),
    ],
)
def test_a_protected_branch_needs_its_lock(
    tmp_path: Path, ref: str, new: str, resources: tuple[str, ...], refused: bool
) -> None:
    """By the settings' patterns and the approved ones; a deletion is refused besides."""
    project = Project("shop", tmp_path, Config("shop", protected=("main",)), tmp_path / ".git")
    needs = attempt.fence_needs(attempt.parse(raw(f"{OLD} {new} {ref}\n")), project)
    assert (needs.resources, bool(needs.refusals)) == (resources, refused)


@pytest.mark.parametrize(
    ("verdict", "code", "said"),
    [
        (Verdict(), 0, ""),
        (Verdict("deny", "Octet: no\nway"), 2, "Octet: no way\n"),
        (Verdict("ask", "Go on?"), 2, "Go on? Git cannot ask, so this is refused; a person may do"),
        (Verdict(notice="Octet: so"), 0, "Octet: so\n"),
    ],
)
def test_a_verdict_is_an_exit_code_and_one_line(verdict: Verdict, code: int, said: str) -> None:
    """Git cannot ask, so a question is a refusal."""
    reply = attempt.render(verdict)
    assert (reply.exit_code, reply.stdout) == (code, b"")
    assert reply.stderr.decode().startswith(said)
    assert reply.stderr.count(b"\n") == bool(said)
