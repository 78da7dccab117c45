"""The merge settings of a real project, and its approved test command."""

from __future__ import annotations

import pytest
from tests.integration.merge.conftest import SETTINGS

from octet.base.errors import Refused, UsageError
from octet.git.program import Git
from octet.merge.model import MergeTarget, Strategy
from octet.merge.settings import approved_test_command, read_merge_settings
from octet.project.config import FILE
from octet.project.repository import load_project


def test_what_the_file_says(shop: Git) -> None:
    """Remote, strategy and batch are the project's; the branch is the protected one that exists."""
    more = (
        'protected = ["trunk", "main"]\n[merge]\nremote = "hub"\nstrategy = "squash"\nbatch = 3\n'
    )
    (shop.directory / FILE).write_text(f'project = "shop"\n{more}')
    settings = read_merge_settings(load_project(shop.directory), None)
    assert settings.target == MergeTarget("main", "hub")
    assert (settings.strategy, settings.batch, settings.test_command) == (Strategy.SQUASH, 3, None)
    assert settings.resource == "repository:main"
    (shop.directory / FILE).write_text('project = "shop"\nprotected = ["trunk"]\n')
    with pytest.raises(UsageError, match="trunk"):
        read_merge_settings(load_project(shop.directory), None)


def test_without_an_approved_test_command_nothing_is_merged(shop: Git) -> None:
    """No command at all, or one that was changed since the person approved it: refused, and what to
    do is said.
    """
    assert approved_test_command(load_project(shop.directory)).command == "sh check.sh"
    (shop.directory / FILE).write_text(SETTINGS.replace("sh check.sh", "sh other.sh"))
    with pytest.raises(Refused, match="octet init"):
        approved_test_command(load_project(shop.directory))
    (shop.directory / FILE).write_text('project = "shop"\n')
    with pytest.raises(Refused, match="--no-tests"):
        approved_test_command(load_project(shop.directory))
