"""How the members of the demo's crew behave."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from octet.base.vocabulary import CODE_SENTINEL, REPOSITORY_GUARDIAN, TEST_ORCHESTRATOR
from octet.core.tasks.verdicts import Finding
from octet.demo.actions import (
    Action,
    ActionResult,
    Behaviour,
    EndTurn,
    ReadFile,
    RunCommand,
    Stall,
    WriteFile,
)
from octet.demo.roles import BEHAVIOURS, Scene, Unexpected, find_faults
from octet.demo.sample import load_sample


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path, load_sample(), sys.executable, "somebody")


def test_a_developer_honours_a_denial(scene: Scene) -> None:
    """A denied note is not written in any other way: the next action is the claim."""
    behaviour = BEHAVIOURS["developer"](scene)
    next(behaviour)
    behaviour.send(ActionResult("the plan"))
    action = behaviour.send(ActionResult("held", ok=False, denied=True))
    assert isinstance(action, RunCommand)
    assert action.command.startswith("octet task claim")


def test_a_developer_ends_with_the_feature(scene: Scene) -> None:
    """Nothing to claim: it waits, and ends when there will never be anything."""
    behaviour = BEHAVIOURS["developer"](scene)
    next(behaviour)
    behaviour.send(ActionResult())
    behaviour.send(ActionResult())
    assert isinstance(
        behaviour.send(ActionResult("octet: nothing waits for the build stage", ok=False)), EndTurn
    )
    with pytest.raises(StopIteration):
        behaviour.send(ActionResult(ok=False))


def test_an_error_is_not_taken_for_an_empty_queue(scene: Scene) -> None:
    """A claim that fails for another reason stops the demo."""
    behaviour = BEHAVIOURS["developer"](scene)
    next(behaviour)
    behaviour.send(ActionResult())
    behaviour.send(ActionResult())
    with pytest.raises(Unexpected):
        behaviour.send(ActionResult("octet: the server does not answer", ok=False))


def test_the_one_that_dies_stands_still_after_its_first_step(tmp_path: Path) -> None:
    """A developer that stalls has claimed, has written, and has told how far it is."""
    scene = Scene(tmp_path, load_sample(), sys.executable, "somebody", stalls_at=1)
    actions = play(BEHAVIOURS["developer"](scene), tmp_path, [scene.sample.jobs[0].id])
    assert any("task progress" in command for command in commands(actions))
    assert not any("submit" in command for command in commands(actions))


def test_a_careless_developer_forgets_its_first_tests_and_adds_them(tmp_path: Path) -> None:
    """Its first submission brings no test; when that task comes back, the tests alone are
    written, and it is submitted again.
    """
    scene = Scene(tmp_path, load_sample(), sys.executable, "somebody", careless=True, stalls_at=4)
    first, second, last = scene.sample.jobs[:3]
    actions = play(
        BEHAVIOURS["developer"](scene), tmp_path, [first.id, second.id, first.id, last.id]
    )
    submitted = [
        number
        for number, action in enumerate(actions)
        if isinstance(action, RunCommand) and "task submit" in action.command
    ]
    written = [
        {action.path.relative_to(tmp_path) for action in part if isinstance(action, WriteFile)}
        for part in split(actions, submitted)
    ]
    tests = [{path for path in paths if path.parts[0] == "tests"} for paths in written]
    assert tests[:3] == [set(), {second.tests.path}, {first.tests.path}]
    assert written[2] == tests[2]


@pytest.mark.parametrize(
    ("changed", "findings"),
    [
        (["pocket/budget.py", "tests/test_budgets.py"], []),
        (["tests/test_budgets.py"], []),
        (["pocket/budget.py"], ["pocket/budget.py:7: major: no test shows this change"]),
        (
            ["pocket/budget.py", "pocket/money.py", "tests/test_budgets.py"],
            ["pocket/money.py:7: major: this file is not among the task's paths"],
        ),
    ],
)
def test_the_reviewer_wants_tests_and_the_tasks_own_files(
    changed: list[str], findings: list[str]
) -> None:
    """A change without tests, or beyond its task's paths, is found, with file and line."""
    diff = "".join(
        f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -7,2 +7,3 @@\n+x\n"
        for path in changed
    )
    found = find_faults(load_sample().job("budgets"), diff)
    assert found == findings
    assert [str(Finding.parse(text)) for text in found] == found


def test_the_reviewer_judges_what_it_has_read(scene: Scene) -> None:
    """It takes a task, reads the very change that the review names, and says what it found of
    that task.
    """
    behaviour = BEHAVIOURS[CODE_SENTINEL](scene)
    next(behaviour)
    started = json.dumps({"task": {"id": "budgets"}, "change": {"command": "git diff a b"}})
    actions = [
        behaviour.send(answer)
        for answer in (
            ActionResult(),
            ActionResult(started),
            ActionResult("+++ b/pocket/budget.py\n@@ -0,0 +1 @@\n"),
        )
    ]
    assert commands(actions)[1] == "git diff a b"
    assert (
        commands(actions)[2]
        == "octet review reject budgets --finding 'pocket/budget.py:1: major: no test shows "
        "this change'"
    )


@pytest.mark.parametrize(
    ("role", "command"),
    [(TEST_ORCHESTRATOR, "octet test run"), (REPOSITORY_GUARDIAN, "octet merge run")],
)
def test_tester_and_guardian_leave_it_to_the_queue(scene: Scene, role: str, command: str) -> None:
    """They run Octet's own command when something waits for them; one that fails stops the
    demo.
    """
    behaviour = BEHAVIOURS[role](scene)
    assert isinstance(next(behaviour), EndTurn)
    action = behaviour.send(ActionResult())
    assert isinstance(action, RunCommand)
    assert action.command.startswith(command)
    with pytest.raises(Unexpected):
        behaviour.send(ActionResult("no", ok=False))


def play(behaviour: Behaviour, tree: Path, tasks: list[str]) -> list[Action]:
    """What a developer does when it gets these tasks, one after the other, until it stalls; its
    worktree is always `tree`.
    """
    actions, left = [next(behaviour)], iter(tasks)
    while not isinstance(actions[-1], Stall):
        command = actions[-1].command if isinstance(actions[-1], RunCommand) else ""
        if "task claim" in command:
            answer = ActionResult(json.dumps({"id": next(left)}))
        elif "worktree add" in command:
            answer = ActionResult(json.dumps({"path": str(tree)}))
        else:
            answer = ActionResult(
                denied="stash" in command,
                ok=not isinstance(actions[-1], ReadFile) or actions[-1].path.name != "PLAN.md",
            )
        actions.append(behaviour.send(answer))
    return actions


def split(actions: list[Action], ends: list[int]) -> list[list[Action]]:
    """The actions in parts, each up to one of `ends`, and what comes after the last."""
    return [
        actions[start:end] for start, end in zip([0, *ends], [*ends, len(actions)], strict=True)
    ]


def commands(actions: list[Action]) -> list[str]:
    return [action.command for action in actions if isinstance(action, RunCommand)]
