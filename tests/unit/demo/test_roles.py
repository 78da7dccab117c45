"""How the members of the demo's crew behave."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from octet.base.vocabulary import CODE_SENTINEL, REPOSITORY_GUARDIAN, TEST_ORCHESTRATOR
from octet.core.tasks.verdicts import Finding
from octet.demo.acts import Act, Answer, Bash, Behaviour, EndTurn, Linger, Read, Write
from octet.demo.roles import BEHAVIOURS, Scene, Unexpected, find_faults
from octet.demo.sample import load_sample


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path, load_sample(), sys.executable, "somebody")


def test_a_developer_honours_a_denial(scene: Scene) -> None:
    """A denied note is not written in any other way: the next act is the claim."""
    behaviour = BEHAVIOURS["developer"](scene)
    next(behaviour)
    behaviour.send(Answer("the plan"))
    act = behaviour.send(Answer("held", ok=False, denied=True))
    assert isinstance(act, Bash)
    assert act.command.startswith("octet task claim")


def test_a_developer_ends_with_the_feature(scene: Scene) -> None:
    """Nothing to claim: it waits, and ends when there will never be anything."""
    behaviour = BEHAVIOURS["developer"](scene)
    next(behaviour)
    behaviour.send(Answer())
    behaviour.send(Answer())
    assert isinstance(
        behaviour.send(Answer("octet: nothing waits for the build stage", ok=False)), EndTurn
    )
    with pytest.raises(StopIteration):
        behaviour.send(Answer(ok=False))


def test_an_error_is_not_taken_for_an_empty_queue(scene: Scene) -> None:
    """A claim that fails for another reason stops the demo."""
    behaviour = BEHAVIOURS["developer"](scene)
    next(behaviour)
    behaviour.send(Answer())
    behaviour.send(Answer())
    with pytest.raises(Unexpected):
        behaviour.send(Answer("octet: the server does not answer", ok=False))


def test_the_one_that_dies_stands_still_after_its_first_step(tmp_path: Path) -> None:
    """A developer that lingers has claimed, has written, and has told how far it is."""
    scene = Scene(tmp_path, load_sample(), sys.executable, "somebody", lingers_at=1)
    acts = play(BEHAVIOURS["developer"](scene), tmp_path, [scene.sample.jobs[0].id])
    assert any("task progress" in command for command in commands(acts))
    assert not any("submit" in command for command in commands(acts))


def test_a_careless_developer_forgets_its_first_tests_and_adds_them(tmp_path: Path) -> None:
    """Its first submission brings no test; when that task comes back, the tests alone are
    written, and it is submitted again.
    """
    scene = Scene(tmp_path, load_sample(), sys.executable, "somebody", careless=True, lingers_at=4)
    first, second, last = scene.sample.jobs[:3]
    acts = play(BEHAVIOURS["developer"](scene), tmp_path, [first.id, second.id, first.id, last.id])
    submitted = [
        number
        for number, act in enumerate(acts)
        if isinstance(act, Bash) and "task submit" in act.command
    ]
    written = [
        {act.path.relative_to(tmp_path).as_posix() for act in part if isinstance(act, Write)}
        for part in split(acts, submitted)
    ]
    tests = [{path for path in paths if path.startswith("tests/")} for paths in written]
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
    acts = [
        behaviour.send(answer)
        for answer in (
            Answer(),
            Answer(started),
            Answer("+++ b/pocket/budget.py\n@@ -0,0 +1 @@\n"),
        )
    ]
    assert commands(acts)[1] == "git diff a b"
    assert (
        commands(acts)[2]
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
    act = behaviour.send(Answer())
    assert isinstance(act, Bash)
    assert act.command.startswith(command)
    with pytest.raises(Unexpected):
        behaviour.send(Answer("no", ok=False))


def play(behaviour: Behaviour, tree: Path, tasks: list[str]) -> list[Act]:
    """What a developer does when it gets these tasks, one after the other, until it lingers; its
    worktree is always `tree`.
    """
    acts, left = [next(behaviour)], iter(tasks)
    while not isinstance(acts[-1], Linger):
        command = acts[-1].command if isinstance(acts[-1], Bash) else ""
        if "task claim" in command:
            answer = Answer(json.dumps({"id": next(left)}))
        elif "worktree add" in command:
            answer = Answer(json.dumps({"path": str(tree)}))
        else:
            answer = Answer(
                denied="stash" in command,
                ok=not isinstance(acts[-1], Read) or acts[-1].path.name != "PLAN.md",
            )
        acts.append(behaviour.send(answer))
    return acts


def split(acts: list[Act], ends: list[int]) -> list[list[Act]]:
    """The acts in parts, each up to one of `ends`, and what comes after the last."""
    return [acts[start:end] for start, end in zip([0, *ends], [*ends, len(acts)], strict=True)]


def commands(acts: list[Act]) -> list[str]:
    return [act.command for act in acts if isinstance(act, Bash)]
