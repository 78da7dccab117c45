"""The sample project and its feature: right before, right after, in any order."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from octet.core.tasks.plan_files import read_plan
from octet.core.tasks.plans import check_plan
from octet.demo import sample
from octet.demo.roles import NOTES, plan_text
from octet.demo.session import change_file
from octet.git.worktrees import add_worktree
from octet.merge.landing import land
from octet.merge.model import Landed, MergeTarget, Strategy, Work
from octet.merge.test_command import TestCommand


def apply_step(root: Path, step: sample.Step) -> None:
    assert change_file(replace(step, path=root / step.path)).ok


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the person's git settings."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_order_of_building_and_merging_passes(tmp_path: Path, seed: int) -> None:
    """All jobs are built from the first commit and merged in a random order, without a conflict,
    and the tests pass.
    """
    made = sample.load_sample()
    git = sample.make_repository(tmp_path / "pocket", made, sample.test_command(sys.executable))
    test_command = TestCommand(sample.test_command(sys.executable), 60)
    assert test_command.run_in(git.directory).passed
    order = random.Random(seed).sample(made.jobs, len(made.jobs))
    for job in order:
        tree = add_worktree(git, tmp_path / "trees", job.id, base=sample.BRANCH)
        for step in (job.tests, *job.steps):
            apply_step(tree.path, step)
        git.at(tree.path).out("add", "--all")
        git.at(tree.path).out("commit", "--quiet", "-m", job.title)
    for job in random.Random(seed + 1).sample(made.jobs, len(made.jobs)):
        works, target = [Work(job.id, job.title, f"octet/{job.id}")], MergeTarget(sample.BRANCH)
        (outcome,) = land(
            git,
            works,
            target,
            strategy=Strategy.MERGE,
            test_command=None,
            directory=tmp_path / "trees",
        )
        assert isinstance(outcome, Landed), (job.id, outcome)
    assert test_command.run_in(git.directory).passed


def test_each_job_brings_a_test_that_fails_without_it(tmp_path: Path) -> None:
    """The tests of a job are about the job: on the first commit they fail."""
    made = sample.load_sample()
    git = sample.make_repository(tmp_path / "pocket", made, "true")
    for job in made.jobs:
        apply_step(git.directory, job.tests)
        assert (
            TestCommand(f"{sys.executable} -B -m unittest -q {job.tests.path}", 60)
            .run_in(git.directory)
            .passed
            is False
        ), job.id


def test_a_repository_that_needs_no_settings_of_the_person(tmp_path: Path) -> None:
    """The first commit is made, unsigned, with no name or key configured anywhere."""
    git = sample.make_repository(tmp_path / "pocket", sample.load_sample(), "true")
    assert git.out("status", "--porcelain") == ""
    assert git.out("log", "--format=%ae %G?") == "demo@octet.invalid N"


def test_the_plan_is_one_that_octet_reads(tmp_path: Path) -> None:
    """Every job is a task of the plan that the crew shares, with its priority, dependencies and
    scope; what follows is room for notes.
    """
    made = sample.load_sample()
    plan = tmp_path / "PLAN.md"
    plan.write_text(plan_text(made))
    tasks = [planned.task for planned in read_plan(plan)]
    check_plan(tasks)
    assert [(task.id, task.title, task.priority, task.after, task.paths) for task in tasks] == [
        (job.id, job.title, job.priority, job.after, job.scope) for job in made.jobs
    ]
    assert {task.feature for task in tasks} == {made.feature}
    assert len(tasks) == 12
    assert any(task.after for task in tasks)
    assert any(task.paths for task in tasks)
    assert plan_text(made).endswith(NOTES)
