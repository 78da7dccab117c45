"""What a tool call needs: locks, a refusal, a question, the agent's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.guard.conftest import make_repository, opt_in

from octet.guard import policy
from octet.guard.payload import PreToolUse, parse
from octet.guard.policy import Granted, Needs
from octet.project.repository import Project

Build = Callable[..., PreToolUse]


def test_writing_a_shared_file_needs_its_lock(needs_of: Callable[..., Needs]) -> None:
    """One resource, named by the path in the repository."""
    assert needs_of("src/a.py").resources == ("path:src/a.py",)


def test_writing_in_a_linked_worktree_needs_the_worktree(needs_of: Callable[..., Needs]) -> None:
    """The agent that works there has it; the path itself is free."""
    [resource] = needs_of(".claude/worktrees/dev-1/src/a.py").resources
    assert resource.startswith("worktree:")
    assert resource.endswith("/dev-1")


def test_outside_nothing_is_needed(needs_of: Callable[..., Needs], shop: Project) -> None:
    """Another repository's files and events other than a tool's start."""
    assert needs_of("../other/a.py") == Needs()
    stop = parse(b'{"session_id": "s", "cwd": "/", "hook_event_name": "Stop"}', {"event": "Stop"})
    assert policy.find_needs(stop, shop) == Needs()


def test_removing_a_worktree_by_hand_is_refused(
    needs_of: Callable[..., Needs], shop: Project
) -> None:
    """`rm -rf` of a worktree is its removal; of something in it, it is not."""
    verdict = policy.judge(needs_of(bash="rm -rf .claude/worktrees/dev-1/"), Granted(), shop)
    assert (verdict.decision, "octet worktree remove dev-1" in verdict.reason) == ("deny", True)
    assert not needs_of(bash="rm -rf .claude/worktrees/dev-1/build").refusals


def test_a_command_needs_all_that_it_does(needs_of: Callable[..., Needs]) -> None:
    """Branches and files of one line, once each."""
    needs = needs_of(
        bash="git merge feature && git push origin main > log; echo >> log; sed -i s/a/b/ src/a.py"
    )
    assert needs.resources == ("repository:main", "path:log", "path:src/a.py")


@pytest.mark.parametrize("command", [None, 3, ["git", "push"], {}])
def test_a_command_that_is_none_is_refused(shop: Project, tool_use: Build, command: object) -> None:
    """What cannot be checked is not let through."""
    assert policy.find_needs(tool_use("Bash", {"command": command}), shop).refusals
    assert policy.find_needs(tool_use("Bash", {}), shop).refusals


def test_paths_may_be_off_or_ignored(tmp_path: Path, needs_of: Callable[..., Needs]) -> None:
    """No lock is asked for; branches and git's own files stay guarded."""
    off = opt_in(make_repository(tmp_path.resolve() / "off"), '[locks]\npaths = "off"')
    assert needs_of("a.py", project=off).resources == ()
    assert needs_of(bash="git commit -m x", project=off).resources == ("repository:main",)
    assert needs_of(".git/HEAD", project=off).refusals
    some = opt_in(
        make_repository(tmp_path.resolve() / "some"), '[locks]\nignore = ["*.log", "build/**"]'
    )
    assert needs_of("x/a.log", project=some).resources == ()
    assert needs_of("build/a/b", project=some).resources == ()
    assert needs_of("a.py", project=some).resources == ("path:a.py",)


def test_nobody_elses_commands_are_changed(needs_of: Callable[..., Needs], shop: Project) -> None:
    """A session's own, those without Octet in them, and names that are none."""
    assert not needs_of(bash="octet task claim").names_agent
    assert not needs_of(bash="echo octet", agent_id="a1").names_agent
    needs = needs_of(bash="octet task claim", agent_id="a1")
    for name in ("", "x; rm y", "$(x)", "a b"):
        assert policy.judge(needs, Granted(), shop, name).updated_input is None
