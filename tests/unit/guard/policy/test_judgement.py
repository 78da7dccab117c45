"""What each answer of the store means for a tool call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.guard.conftest import add_worktree, make_repository, opt_in

from octet.guard import policy
from octet.guard.policy import Gone, Granted, Held, Needs, Reserved, StoreDown
from octet.project.repository import Project

DOWN = StoreDown("Redis at db:6379 does not answer")


def test_gits_and_octets_own_files_are_refused(
    needs_of: Callable[..., Needs], shop: Project, homes: Path
) -> None:
    """By tool and by shell, with the way that is open."""
    for needs in (
        needs_of(".git/hooks/reference-transaction"),
        needs_of(bash="echo > .git/HEAD"),
        needs_of(bash="rm -rf .git"),
    ):
        verdict = policy.judge(needs, Granted(), shop)
        assert verdict.decision == "deny"
        assert "git commands" in verdict.reason
    verdict = policy.judge(needs_of(bash=f"rm -rf {homes.parent}/state/trust"), Granted(), shop)
    assert (verdict.decision, "`octet` commands" in verdict.reason) == ("deny", True)


def test_a_command_too_long_to_check_is_refused(
    needs_of: Callable[..., Needs], shop: Project
) -> None:
    """With the advice to split it."""
    for command in (
        "$(" * 1000,
        ": > a;" * 5000,
        "rm " + " ".join(f"f{number}" for number in range(3000)),
    ):
        verdict = policy.judge(needs_of(bash=command), Granted(), shop)
        assert verdict.decision == "deny"
        assert "steps" in verdict.reason


def test_a_granted_need_goes_its_usual_way(needs_of: Callable[..., Needs], shop: Project) -> None:
    """A lock is no permission: the client still asks its user what it would ask."""
    assert policy.judge(needs_of("a.py"), Granted(), shop) == policy.Verdict()


@pytest.mark.parametrize("answer", [Held("path:a.py", "developer-2"), Gone()])
def test_what_is_held_or_lost_is_denied(
    needs_of: Callable[..., Needs], shop: Project, answer: policy.StoreAnswer
) -> None:
    """By another agent, or because this one had been declared dead."""
    assert policy.judge(needs_of("a.py"), answer, shop).decision == "deny"


def test_a_role_that_moves_no_branch_is_denied(
    needs_of: Callable[..., Needs], shop: Project
) -> None:
    """With the branch and the role in the reason."""
    needs = needs_of(bash="git push origin main")
    verdict = policy.judge(needs, Reserved("repository:main", "developer"), shop)
    assert verdict.decision == "deny"
    assert "the branch main" in verdict.reason
    assert "developer" in verdict.reason


@pytest.mark.parametrize(
    ("policy_name", "decision"), [("deny", "deny"), ("allow", "pass"), ("ask", "ask")]
)
def test_without_a_store_the_settings_decide(
    tmp_path: Path, needs_of: Callable[..., Needs], policy_name: str, decision: str
) -> None:
    """For shared files and protected branches, always with the reason in words."""
    project = opt_in(
        make_repository(tmp_path.resolve() / "shop"), f'on_store_down = "{policy_name}"'
    )
    for needs in (
        needs_of("a.py", project=project),
        needs_of(bash="git commit -m x", project=project),
    ):
        verdict = policy.judge(needs, DOWN, project)
        assert verdict.decision == decision
        assert "Redis at db:6379 does not answer" in verdict.reason + verdict.notice


def test_without_a_store_worktrees_stay_open(
    tmp_path: Path, needs_of: Callable[..., Needs]
) -> None:
    """Whatever the setting says, with a word to the person."""
    project = opt_in(make_repository(tmp_path.resolve() / "shop"))
    place = add_worktree(project.root, project.root / "trees/dev-1", "feature")
    for needs in (
        needs_of("trees/dev-1/a.py", project=project),
        needs_of(bash="echo > b.py", project=project, cwd=place),
    ):
        verdict = policy.judge(needs, DOWN, project)
        assert (verdict.decision, bool(verdict.notice)) == ("pass", True)
    mixed = needs_of(bash="echo > ../../a.py > b.py", project=project, cwd=place)
    assert policy.judge(mixed, DOWN, project).decision == "deny"


def test_without_a_store_what_needs_nothing_goes_on_in_silence(
    needs_of: Callable[..., Needs], shop: Project
) -> None:
    """Reading, and Octet's own commands, which say themselves what is wrong."""
    assert policy.judge(needs_of(bash="git status"), DOWN, shop) == policy.Verdict()
    assert policy.judge(needs_of(bash="octet doctor"), DOWN, shop).decision == "allow"


def test_without_a_store_refusals_stand(needs_of: Callable[..., Needs], shop: Project) -> None:
    """They never depended on it."""
    assert policy.judge(needs_of(bash="git gc"), DOWN, shop).decision == "deny"


def test_without_a_store_a_person_may_mend_the_settings(
    needs_of: Callable[..., Needs], shop: Project
) -> None:
    """Otherwise a wrong server URL would keep itself in place; and no agent can switch the guard
    off alone.
    """
    assert policy.judge(needs_of(".claude/octet.toml"), DOWN, shop).decision == "ask"
    assert (
        policy.judge(needs_of(bash="echo > .claude/octet.toml > a.py"), DOWN, shop).decision
        == "deny"
    )


def test_paths_may_only_warn(tmp_path: Path, needs_of: Callable[..., Needs]) -> None:
    """Then a held file is written with a word to both, and a branch's lock stays a lock."""
    project = opt_in(make_repository(tmp_path.resolve() / "shop"), '[locks]\npaths = "warn"')
    verdict = policy.judge(
        needs_of("a.py", project=project), Held("path:a.py", "developer-2"), project
    )
    assert verdict.decision == "pass"
    assert "developer-2" in verdict.context
    assert "developer-2" in verdict.notice
    needs = needs_of(bash="git commit -m x > log", project=project)
    assert needs.resources == ("repository:main",)
    assert policy.judge(needs, Held("repository:main", "guardian-1"), project).decision == "deny"
    assert policy.judge(needs_of("a.py", project=project), DOWN, project).decision == "pass"


def test_octets_own_commands_run_unasked(needs_of: Callable[..., Needs], shop: Project) -> None:
    """A single call of one that an agent needs; nothing hidden behind it."""
    assert policy.judge(needs_of(bash="octet task claim"), Granted(), shop).decision == "allow"
    for command in (
        "octet task claim; rm x",
        "octet down",
        "OCTET_AGENT=guardian-1 octet task claim",
    ):
        assert policy.judge(needs_of(bash=command), Granted(), shop).decision == "pass"


def test_only_a_person_approves(needs_of: Callable[..., Needs], shop: Project) -> None:
    """An agent that runs `octet init` makes the client ask."""
    assert policy.judge(needs_of(bash="octet init"), Granted(), shop).decision == "ask"


def test_a_subagents_commands_carry_its_name(needs_of: Callable[..., Needs], shop: Project) -> None:
    """The command line of a sub-agent is its session's; so the guard writes the name before it."""
    needs = needs_of(bash="octet task claim", agent_id="a1")
    assert needs.names_agent
    verdict = policy.judge(needs, Granted(), shop, "developer-4")
    assert verdict.decision == "allow"
    assert verdict.updated_input == {
        "command": "OCTET_AGENT=developer-4 octet task claim",
        "timeout": 5,
    }
    verdict = policy.judge(
        needs_of(bash="cd src && octet status | cat", agent_id="a1"), Granted(), shop, "developer-4"
    )
    assert verdict.decision == "pass"
    assert verdict.updated_input == {
        "command": "export OCTET_AGENT=developer-4; cd src && octet status | cat",
        "timeout": 5,
    }


def test_an_agent_with_a_worktree_is_sent_there(needs_of: Callable[..., Needs]) -> None:
    """A developer that writes in the shared checkout meant the same path in its own; elsewhere it
    may write.
    """
    verdict = policy.misplaced(needs_of("src/a.py"), "/srv/trees/dev-1")
    assert verdict is not None
    assert (verdict.decision, "/srv/trees/dev-1/src/a.py" in verdict.reason) == ("deny", True)
    assert policy.misplaced(needs_of(bash="echo > a.py"), "/srv/trees/dev-1") is not None
    for needs in (
        needs_of(".claude/worktrees/dev-1/a.py"),
        needs_of("../other/a.py"),
        needs_of(bash="git push origin main"),
    ):
        assert policy.misplaced(needs, "/srv/trees/dev-1") is None
    assert policy.misplaced(needs_of("src/a.py"), "") is None
