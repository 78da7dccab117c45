"""How the roles of the demo's crew behave: generators of actions, after the instructions in
`agents/*.md`.

They respect a refusal: a denied write is never tried in another way, only again later.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from octet.base.vocabulary import (
    CODE_SENTINEL,
    DEVELOPER,
    ORCHESTRATOR,
    REPOSITORY_GUARDIAN,
    TEST_ORCHESTRATOR,
)
from octet.demo.actions import (
    Action,
    ActionResult,
    Behaviour,
    EditFile,
    EndTurn,
    ReadFile,
    RunCommand,
    Stall,
    ToolCall,
)
from octet.demo.sample import BRANCH, Job, Sample, Step

PLAN = "PLAN.md"
NOTES = "Notes:\n"
NOTHING_TO_CLAIM = "the build stage"
NOTHING_TO_REVIEW = "the review stage"
# How long a command waits for a task before the turn ends. The queue knows best whose turn it is,
# and each new command costs the start of an interpreter. No longer than this, because at the end of
# the feature no task comes.
CLAIM_WAIT = "--wait 2s"
GATE_WAIT = "--wait 1s"
# A changed file in a diff, and the line of its first change.
CHANGED = re.compile(r"^\+\+\+ b/(?P<file>.+)\n@@ -\S+ \+(?P<line>\d+)", re.MULTILINE)

# Parts of a behaviour: without a value, and with the result of its last action.
Part = Generator[Action, ActionResult, None]
PartWithResult = Generator[Action, ActionResult, ActionResult]


class Unexpected(Exception):
    """An action had a result that the demo does not expect; names the action and its result."""


@dataclass(frozen=True)
class Scene:
    """Where an agent works, and on what."""

    root: Path
    sample: Sample
    python: str
    name: str
    # A developer that tries a forbidden command, and forgets the tests of its first task.
    careless: bool = False
    # The claim, counted from 1, in whose middle a developer stalls; 0 for none.
    stalls_at: int = 0

    @property
    def plan(self) -> Path:
        """A file of the shared checkout that all agents write to; it is in no commit."""
        return self.root / PLAN


def orchestrator(scene: Scene) -> Behaviour:
    """Hold the plan's lock while the plan is written and its tasks are queued; then watch. The role
    has a shell and no editor.
    """
    write = f"cat > {shlex.quote(str(scene.plan))} <<'END'\n{plan_text(scene.sample)}END\n"
    yield from _must(RunCommand(f"octet lock acquire path:{PLAN} && {write}"))
    yield from _must(RunCommand(f"octet task import {shlex.quote(str(scene.plan))}"))
    yield from _must(RunCommand(f"octet lock release path:{PLAN}"))
    yield EndTurn(f"{len(scene.sample.jobs)} tasks are queued.", until="complete")


def developer(scene: Scene) -> Behaviour:
    """Build task after task, rejected work first; leave a note in the shared plan as soon as no
    other agent is writing it.
    """
    noted = yield from _note(scene)
    claims, forgotten = 0, ""
    while True:
        claimed = yield RunCommand(f"octet task claim {CLAIM_WAIT} --json")
        if claimed.ok:
            claims += 1
            job = scene.sample.job(_read_json(claimed.text)["id"])
            forgets = scene.careless and claims == 1
            steps = _steps_of(job, forgets=forgets, again=job.id == forgotten)
            forgotten = job.id if forgets else forgotten
            stalls = claims == scene.stalls_at
            yield from _build(scene, job, steps, stalls=stalls, stashes=forgets)
            yield EndTurn(f"Submitted {job.id}.")
            noted = noted or (yield from _note(scene))
        elif NOTHING_TO_CLAIM not in claimed.text:
            raise Unexpected(f"octet task claim: {claimed.text}")
        elif not (yield EndTurn("No task waits for the build stage.", until="build")).ok:
            return


def reviewer(scene: Scene) -> Behaviour:
    """Review submitted work: it must bring tests and keep to the task's paths."""
    while (yield EndTurn("No task waits for review.", until="review")).ok:
        while (started := (yield RunCommand(f"octet review start {GATE_WAIT} --json"))).ok:
            yield from _review(scene, _read_json(started.text))
        if NOTHING_TO_REVIEW not in started.text:
            raise Unexpected(f"octet review start: {started.text}")


def tester(_scene: Scene) -> Behaviour:
    """Run the tests on approved work, combined with the protected branch."""
    while (yield EndTurn("No task waits for the tests.", until="test")).ok:
        yield from _must(RunCommand(f"octet test run --all {GATE_WAIT}"))


def guardian(_scene: Scene) -> Behaviour:
    """Merge the tasks that have passed their gates; those that wait together come in one merge."""
    while (yield EndTurn("No task waits for the merge.", until="merge")).ok:
        yield from _must(RunCommand(f"octet merge run {GATE_WAIT}"))


BEHAVIOURS: Mapping[str, Callable[[Scene], Behaviour]] = {
    ORCHESTRATOR: orchestrator,
    DEVELOPER: developer,
    CODE_SENTINEL: reviewer,
    TEST_ORCHESTRATOR: tester,
    REPOSITORY_GUARDIAN: guardian,
}


def plan_text(sample: Sample) -> str:
    """The plan that the orchestrator writes and `octet task import` reads; notes come after it."""
    return f"# {sample.feature}\n\n{''.join(map(_plan_item, sample.jobs))}\n{NOTES}"


def _plan_item(job: Job) -> str:
    fields = {
        "priority": str(job.priority),
        "after": ", ".join(job.after),
        "paths": ", ".join(job.scope),
    }
    given = [f"  {name}: {value}" for name, value in fields.items() if value]
    return "".join(f"{line}\n" for line in [f"- [{job.id}] {job.title}", *given])


def find_faults(job: Job, diff: str) -> list[str]:
    """A reviewer's findings, FILE:LINE: SEVERITY: TEXT. A change must bring tests and touch only
    the task's paths.
    """
    places = {found["file"]: f"{found['file']}:{found['line']}" for found in CHANGED.finditer(diff)}
    code = [file for file in places if not file.startswith("tests/")]
    faults = [
        f"{places[file]}: major: this file is not among the task's paths"
        for file in code
        if file not in job.paths
    ]
    if code and len(code) == len(places):
        faults.insert(0, f"{places[code[0]]}: major: no test shows this change")
    return faults


def _read_json(text: str) -> dict[str, Any]:
    """The JSON object in a command's output, which may contain other lines."""
    line = next(line for line in text.splitlines() if line.startswith("{"))
    found: dict[str, Any] = json.loads(line)
    return found


def _steps_of(job: Job, *, forgets: bool, again: bool) -> Sequence[Step]:
    """The steps to do: all, all but the tests (`forgets`), or then, at the next attempt, the tests
    alone, because the rest is in the worktree.
    """
    if forgets:
        return job.steps
    return (job.tests,) if again else (job.tests, *job.steps)


def _build(scene: Scene, job: Job, steps: Sequence[Step], *, stalls: bool, stashes: bool) -> Part:
    made = yield from _must(RunCommand(f"octet worktree add {job.id} --json"))
    tree = Path(_read_json(made.text)["path"])
    for number, step in enumerate(steps, 1):
        yield from _take_step(tree, step)
        if number == 1:
            note = shlex.quote(f"{step.path} is written")
            yield from _must(RunCommand(f"octet task progress {job.id} 40 --note {note}"))
            if stalls:
                yield Stall()
    there = f"cd {shlex.quote(str(tree))}"
    commit = f"git add --all && git commit --quiet -m {shlex.quote(job.title)}"
    merge = f"git merge --quiet --no-edit {BRANCH}"
    test = f"{shlex.quote(scene.python)} -B -m unittest -q"
    yield from _must(RunCommand(f"({there} && {commit} && {merge} && {test})"))
    if stashes:
        yield from _try_to_stash(scene, tree)
    submit = f"octet task submit {job.id} --note 'the tests pass: python -m unittest'"
    yield from _must(RunCommand(f"({there} && {submit})"))


def _review(scene: Scene, started: Mapping[str, Any]) -> Part:
    task = started["task"]["id"]
    diff = yield from _must(RunCommand(started["change"]["command"]))
    findings = find_faults(scene.sample.job(task), diff.text)
    if findings:
        reasons = [word for finding in findings for word in ("--finding", finding)]
        words = ["octet", "review", "reject", task, *reasons]
    else:
        words = ["octet", "review", "approve", task, "--note", "all of it was read"]
    yield from _must(RunCommand(shlex.join(words)))


def _take_step(tree: Path, step: Step) -> Part:
    if isinstance(step, EditFile):
        yield from _must(ReadFile(tree / step.path))
    yield from _must(replace(step, path=tree / step.path))


def _note(scene: Scene) -> Generator[Action, ActionResult, bool]:
    """Leave a note in the shared plan; False if another agent is writing it, has written it since
    it was read, or is about to.
    """
    if not (yield ReadFile(scene.plan)).ok:
        return False
    return (yield EditFile(scene.plan, NOTES, f"{NOTES}- {scene.name} was here\n")).ok


def _try_to_stash(scene: Scene, tree: Path) -> Part:
    """What a developer must not do: worktrees share one stash; another agent gets its content."""
    result = yield RunCommand(f"git -C {shlex.quote(str(tree))} stash")
    if not result.denied:
        raise Unexpected(f"{scene.name} was allowed to stash: {result.text}")


def _must(call: ToolCall) -> PartWithResult:
    """Do it; anything but success ends the demo."""
    result = yield call
    if not result.ok:
        raise Unexpected(f"{_name(call)}: {'denied: ' if result.denied else ''}{result.text}")
    return result


def _name(call: ToolCall) -> str:
    if isinstance(call, RunCommand):
        return call.command
    return f"{type(call).__name__} {call.path}"
