"""How the roles of the demo's crew behave, as generators of acts; they follow the instructions in
`agents/*.md`.

What refuses them is honoured: a denied write is not tried in another way, only again later.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octet.base.vocabulary import (
    CODE_SENTINEL,
    DEVELOPER,
    ORCHESTRATOR,
    REPOSITORY_GUARDIAN,
    TEST_ORCHESTRATOR,
)
from octet.demo import sample as steps
from octet.demo.acts import Act, Answer, Bash, Behaviour, Edit, EndTurn, Linger, Read, Tool, Write
from octet.demo.sample import BRANCH, Job, Sample

PLAN = "PLAN.md"
NOTES = "Notes:\n"
NOTHING_TO_CLAIM = "the build stage"
NOTHING_TO_REVIEW = "the review stage"
# How long a command waits for its next task before the turn ends: the queue knows best whose turn
# it is and what has come free, and each new command costs the start of an interpreter. Not longer,
# because at the end of the feature nothing comes.
CLAIM_WAIT = "--wait 2s"
GATE_WAIT = "--wait 1s"
# A changed file in a diff, and the line where its first change is.
CHANGED = re.compile(r"^\+\+\+ b/(?P<file>.+)\n@@ -\S+ \+(?P<line>\d+)", re.MULTILINE)

Does = Generator[Act, Answer, Answer]


class Unexpected(Exception):
    """An act came to something that the demo has no answer for; says what was done and what came of
    it.
    """


@dataclass(frozen=True)
class Scene:
    """Where an agent works and on what.

    `careless`: a developer that tries what endangers the others' work, and forgets the tests of its
    first task. `lingers_at`: the claim, counted from 1, in whose middle a developer stands still; 0
    for none.
    """

    root: Path
    sample: Sample
    python: str
    name: str
    careless: bool = False
    lingers_at: int = 0

    @property
    def plan(self) -> Path:
        """A file of the shared checkout that everyone writes to; it is in no commit."""
        return self.root / PLAN


def orchestrator(scene: Scene) -> Behaviour:
    """Hold the plan's lock while the plan is written and its tasks are queued; then watch. The role
    has a shell and no editor.
    """
    written = f"cat > {shlex.quote(str(scene.plan))} <<'END'\n{plan_text(scene.sample)}END\n"
    yield from _must(Bash(f"octet lock acquire path:{PLAN} && {written}"))
    yield from _must(Bash(f"octet task import {shlex.quote(str(scene.plan))}"))
    yield from _must(Bash(f"octet lock release path:{PLAN}"))
    yield EndTurn(f"{len(scene.sample.jobs)} tasks are queued.", until="complete")


def developer(scene: Scene) -> Behaviour:
    """Build task after task, what was sent back first; leave a note in the shared plan as soon as
    nobody else is writing it.
    """
    noted = yield from _note(scene)
    claims, forgotten = 0, ""
    while True:
        claimed = yield Bash(f"octet task claim {CLAIM_WAIT} --json")
        if claimed.ok:
            claims += 1
            job = scene.sample.job(_read_json(claimed.text)["id"])
            forgets = scene.careless and claims == 1
            # What was sent back is in its worktree, without the tests.
            todo = (
                job.steps
                if forgets
                else (job.tests,)
                if job.id == forgotten
                else (job.tests, *job.steps)
            )
            forgotten = job.id if forgets else forgotten
            yield from _build(scene, job, todo, lingers=claims == scene.lingers_at, stashes=forgets)
            yield EndTurn(f"Submitted {job.id}.")
            noted = noted or (yield from _note(scene))
        elif NOTHING_TO_CLAIM not in claimed.text:
            raise Unexpected(f"octet task claim: {claimed.text}")
        elif not (yield EndTurn("Nothing waits to be built.", until="build")).ok:
            return


def reviewer(scene: Scene) -> Behaviour:
    """Read what was submitted: it must bring tests and keep to the task's paths."""
    while (yield EndTurn("Nothing waits to be reviewed.", until="review")).ok:
        while (started := (yield Bash(f"octet review start {GATE_WAIT} --json"))).ok:
            yield from _review(scene, _read_json(started.text))
        if NOTHING_TO_REVIEW not in started.text:
            raise Unexpected(f"octet review start: {started.text}")


def tester(_scene: Scene) -> Behaviour:
    """Have the tests run on what was approved, combined with the protected branch."""
    while (yield EndTurn("Nothing waits to be tested.", until="test")).ok:
        yield from _must(Bash(f"octet test run --all {GATE_WAIT}"))


def guardian(_scene: Scene) -> Behaviour:
    """Have merged what passed its gates, together what waits at once."""
    while (yield EndTurn("Nothing waits to be merged.", until="merge")).ok:
        yield from _must(Bash(f"octet merge run {GATE_WAIT}"))


BEHAVIOURS: Mapping[str, Callable[[Scene], Behaviour]] = {
    ORCHESTRATOR: orchestrator,
    DEVELOPER: developer,
    CODE_SENTINEL: reviewer,
    TEST_ORCHESTRATOR: tester,
    REPOSITORY_GUARDIAN: guardian,
}


def plan_text(sample: Sample) -> str:
    """The plan as the orchestrator writes it and `octet task import` reads it; notes come after it."""
    return f"# {sample.feature}\n\n{''.join(map(_plan_item, sample.jobs))}\n{NOTES}"


def _plan_item(job: Job) -> str:
    fields = {
        "priority": str(job.priority),
        "after": ", ".join(job.after),
        "paths": ", ".join(job.scope),
    }
    lines = [
        f"- [{job.id}] {job.title}",
        *(f"  {name}: {value}" for name, value in fields.items() if value),
    ]
    return "".join(f"{line}\n" for line in lines)


def find_faults(job: Job, diff: str) -> list[str]:
    """A reviewer's findings, FILE:LINE: SEVERITY: TEXT: a change must bring tests, and touch
    nothing else but the task's paths.
    """
    changed = {
        found["file"]: f"{found['file']}:{found['line']}" for found in CHANGED.finditer(diff)
    }
    code = [file for file in changed if not file.startswith("tests/")]
    beyond = [
        f"{changed[file]}: major: this file is not among the task's paths"
        for file in code
        if file not in job.paths
    ]
    return (
        [f"{changed[code[0]]}: major: no test shows this change", *beyond]
        if code and code == [*changed]
        else beyond
    )


def _read_json(text: str) -> dict[str, Any]:
    """The JSON object in a command's output; the client may have added lines of its own."""
    found: dict[str, Any] = json.loads(
        next(line for line in text.splitlines() if line.startswith("{"))
    )
    return found


def _build(
    scene: Scene,
    job: Job,
    todo: Sequence[steps.Write | steps.Edit],
    *,
    lingers: bool,
    stashes: bool,
) -> Generator[Act, Answer, None]:
    made = yield from _must(Bash(f"octet worktree add {job.id} --json"))
    tree = Path(_read_json(made.text)["path"])
    for number, step in enumerate(todo, 1):
        yield from _take_step(tree, step)
        if number == 1:
            yield from _must(
                Bash(
                    f"octet task progress {job.id} 40 --note "
                    f"{shlex.quote(f'{step.path} is written')}"
                )
            )
            if lingers:
                yield Linger()
    there = f"cd {shlex.quote(str(tree))}"
    commit = (
        f"git add --all && git commit --quiet -m {shlex.quote(job.title)} && git merge --quiet "
        f"--no-edit {BRANCH}"
    )
    prove = f"{shlex.quote(scene.python)} -B -m unittest -q"
    yield from _must(Bash(f"({there} && {commit} && {prove})"))
    if stashes:
        yield from _try_to_stash(scene, tree)
    yield from _must(
        Bash(f"({there} && octet task submit {job.id} --note 'the tests pass: python -m unittest')")
    )


def _review(scene: Scene, started: Mapping[str, Any]) -> Generator[Act, Answer, None]:
    task = started["task"]["id"]
    diff = yield from _must(Bash(started["change"]["command"]))
    findings = find_faults(scene.sample.job(task), diff.text)
    reasons = [word for finding in findings for word in ("--finding", finding)] or [
        "--note",
        "all of it was read",
    ]
    yield from _must(
        Bash(shlex.join(["octet", "review", "reject" if findings else "approve", task, *reasons]))
    )


def _take_step(tree: Path, step: steps.Write | steps.Edit) -> Generator[Act, Answer, None]:
    path = tree / step.path
    if isinstance(step, steps.Write):
        yield from _must(Write(path, step.text))
        return
    yield from _must(Read(path))
    yield from _must(Edit(path, step.old, step.new))


def _note(scene: Scene) -> Generator[Act, Answer, bool]:
    """Leave a note in the shared plan; False where another agent is writing there, has since it was
    read, or is about to.
    """
    if not (yield Read(scene.plan)).ok:
        return False
    return (yield Edit(scene.plan, NOTES, f"{NOTES}- {scene.name} was here\n")).ok


def _try_to_stash(scene: Scene, tree: Path) -> Generator[Act, Answer, None]:
    """What a developer must not do: the stash is one for all worktrees, and another agent would get
    what is put there.
    """
    answer = yield Bash(f"git -C {shlex.quote(str(tree))} stash")
    if not answer.denied:
        raise Unexpected(f"{scene.name} could stash: {answer.text}")


def _must(act: Tool) -> Does:
    answer = yield act
    if not answer.ok:
        done = act.command if isinstance(act, Bash) else f"{type(act).__name__} {act.path}"
        raise Unexpected(f"{done}: {'denied: ' if answer.denied else ''}{answer.text}")
    return answer
