"""The words of the mission: what roles serve which stages, and what names can be."""

from __future__ import annotations

import re

import pytest

from octet.base import vocabulary as words


def test_each_stage_is_served_by_a_role_of_its_own() -> None:
    """Eight stages, eight roles; work stages and gates are all stages, in that order."""
    assert tuple(words.ROLE_OF_STAGE) == (*words.WORK_STAGES, *words.GATES)
    assert sorted(words.ROLE_OF_STAGE.values()) == sorted(words.ROLES)
    assert words.GATES[-1] == words.MERGE


@pytest.mark.parametrize("role", words.ROLES)
def test_the_stage_of_a_role(role: str) -> None:
    """It is the one that the role serves."""
    assert words.ROLE_OF_STAGE[words.stage_of_role(role)] == role


@pytest.mark.parametrize("role", [words.GUEST, "plumber", ""])
def test_other_roles_serve_no_stage(role: str) -> None:
    """A guest, a role of one's own."""
    assert words.stage_of_role(role) == ""


@pytest.mark.parametrize(
    "name", [words.PROJECT_NAME, words.RUN_NAME, words.TASK_ID, words.REMOTE_NAME, words.AGENT_NAME]
)
def test_no_name_can_be_taken_for_something_else(name: re.Pattern[str]) -> None:
    """Not for an option, path, hash tag, other key or second line; 64 characters at most."""
    assert name.fullmatch("a" * 64)
    assert name.fullmatch("shop-1.2_x")
    for wrong in ("", "-a", ".a", "_a", "a" * 65, "a/b", "a:b", "{a}", "a b", "a\n", "ä"):
        assert not name.fullmatch(wrong), wrong


@pytest.mark.parametrize("role", [*words.ROLES, words.GUEST])
def test_roles_are_names_of_agents(role: str) -> None:
    """An agent's name is its role and a number; a role's inbox is addressed like an agent's."""
    assert words.AGENT_NAME.fullmatch(f"{role}-1")
    assert not words.AGENT_NAME.fullmatch("1")
