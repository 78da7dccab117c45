"""How the roles of the demo's crew behave, as generators of acts; they follow the instructions in `agents/*.md`.

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

from octet.demo import sample as steps
from octet.demo.acts import Act, Answer, Bash, Behaviour, Edit, EndTurn, Linger, Read, Tool, Write
from octet.demo.sample import BRANCH, Job, Sample
from octet.worktrees import BRANCH_PREFIX, branch_of

ORCHESTRATOR = "orchestrator"
DEVELOPER = "developer"
REVIEWER = "code-sentinel"
TESTER = "test-orchestrator"
GUARDIAN = "repository-guardian"

VERDICT = re.compile(r"(?P<word>approved|rejected) by (?P<gate>review|tests): (?P<task>\S+) at (?P<commit>[0-9a-f]{40})")
GATES = frozenset({"review", "tests"})
PLAN = "PLAN.md"
NOTES = "Notes:\n"
NOTHING_TO_CLAIM = "nothing waits"

Does = Generator[Act, Answer, Answer]


class Unexpected(Exception):
    """An act came to something that the demo has no answer for; says what was done and what came of it."""


@dataclass(frozen=True)
class Scene:
    """Where an agent works and on what.

    `meddles`: a developer that also tries what endangers the others' work. `lingers_at`: the claim, counted from 1, in whose middle a
    developer stands still; 0 for none.
    """

    root: Path
    sample: Sample
    python: str
    test_command: str
    name: str
    meddles: bool = False
    lingers_at: int = 0

    @property
    def plan(self) -> Path:
        """A file of the shared checkout that everyone writes to; it is in no commit."""
        return self.root / PLAN

    def worktree(self, name: str) -> Path:
        return self.root / ".claude" / "worktrees" / name


def orchestrator(scene: Scene) -> Behaviour:
    """Hold the plan's lock while the plan is written and its tasks are queued; then watch. The role has a shell and no editor."""
    written = f"cat > {shlex.quote(str(scene.plan))} <<'END'\n{plan_text(scene.sample)}END\n"
    yield from _must(Bash(f"octet lock acquire path:{PLAN} && {written}"))
    first, *others = scene.sample.jobs
    paths = shlex.join(word for path in first.paths for word in ("--path", path))
    yield from _must(Bash(f"octet task add {shlex.quote(first.title)} --id {first.id} --priority {first.priority} {paths}"))
    yield from _must(Bash(f"demo-chore plan {shlex.join(job.id for job in others)}"))
    yield from _must(Bash(f"octet lock release path:{PLAN}"))
    yield EndTurn(f"{len(scene.sample.jobs)} tasks are queued.", until="complete")


def developer(scene: Scene) -> Behaviour:
    """Build task after task; leave a note in the shared plan as soon as nobody else is writing it."""
    noted = yield from _note(scene)
    claims = 0
    while True:
        claimed = yield Bash("octet task claim --json")
        if claimed.ok:
            claims += 1
            task = _read_json(claimed.text)
            yield from _build(scene, task, lingers=claims == scene.lingers_at, meddles=scene.meddles and claims == 1)
            yield EndTurn(f"Submitted {task['id']}.")
            noted = noted or (yield from _note(scene))
        elif NOTHING_TO_CLAIM not in claimed.text:
            raise Unexpected(f"octet task claim: {claimed.text}")
        elif not (yield EndTurn("Nothing waits to be built.", until="build")).ok:
            return


def reviewer(scene: Scene) -> Behaviour:
    """Read what was submitted: it must bring tests and keep to the task's paths."""
    while (woken := (yield EndTurn("Waiting for work to review.", until="submitted"))).ok:
        verdicts = []
        for event in json.loads(woken.text):
            changed = yield from _must(Bash(f"git diff --name-only {BRANCH}...{event['commit']}"))
            verdicts.append(_verdict("review", event, _keeps_to(scene.sample.job(event["task"]), changed.text.split())))
        yield from _must(Bash(_tell_guardian("; ".join(verdicts))))


def tester(scene: Scene) -> Behaviour:
    """Run the tests of what was submitted on top of the protected branch, in a worktree for that alone."""
    tree = shlex.quote(str(scene.worktree("testing")))
    yield from _must(Bash(f"git worktree add --quiet --detach {tree} {BRANCH}"))
    while (woken := (yield EndTurn("Waiting for work to test.", until="submitted"))).ok:
        for event in json.loads(woken.text):
            combine = f"git checkout --quiet --detach {event['commit']} && git merge --quiet --no-edit {BRANCH}"
            ran = yield Bash(f"(cd {tree} && {combine} && {scene.test_command})")
            yield from _must(Bash(_tell_guardian(_verdict("tests", event, ran.ok))))


def guardian(_scene: Scene) -> Behaviour:
    """Merge what both gates approve, one task at a time; send back what one rejects. Their verdicts come as messages."""
    passed: dict[tuple[str, str], set[str]] = {}
    while (woken := (yield EndTurn("Waiting for verdicts.", until="messages"))).ok:
        for found in VERDICT.finditer(woken.told):
            task, commit = found["task"], found["commit"]
            if found["word"] == "rejected":
                passed.pop((task, commit), None)
                yield from _must(Bash(f"demo-chore refuse {task} {found['gate']}"))
                continue
            gates = passed.setdefault((task, commit), set())
            gates.add(found["gate"])
            if gates == GATES:
                yield from _must(Bash(f"demo-chore land {task} {commit}"))
                del passed[task, commit]


BEHAVIOURS: Mapping[str, Callable[[Scene], Behaviour]] = {
    ORCHESTRATOR: orchestrator,
    DEVELOPER: developer,
    REVIEWER: reviewer,
    TESTER: tester,
    GUARDIAN: guardian,
}


def plan_text(sample: Sample) -> str:
    """The plan as the orchestrator writes it; notes come after it."""
    lines = [f"- [{job.id}] {job.title} (priority {job.priority})" for job in sample.jobs]
    return "\n".join([f"# {sample.feature}", "", *lines, "", NOTES])


def _read_json(text: str) -> dict[str, Any]:
    """The JSON object in a command's output; the client may have added lines of its own."""
    found: dict[str, Any] = json.loads(next(line for line in text.splitlines() if line.startswith("{")))
    return found


def _build(scene: Scene, task: Mapping[str, Any], *, lingers: bool, meddles: bool) -> Generator[Act, Answer, None]:
    job = scene.sample.job(task["id"])
    branch = branch_of(job.id, task["attempts"])
    tree = scene.worktree(branch.removeprefix(BRANCH_PREFIX))
    yield from _must(Bash(f"demo-chore worktree {job.id} {task['attempts']}"))
    for number, step in enumerate(job.steps, 1):
        yield from _take_step(tree, step)
        if number == 1:
            yield from _must(Bash(f"octet task progress {job.id} 40 --note 'the tests are written'"))
            if lingers:
                yield Linger()
    commit = f"git add --all && git commit --quiet -m {shlex.quote(job.title)} && git merge --quiet --no-edit {BRANCH}"
    prove = f"{shlex.quote(scene.python)} -B -m unittest -q {job.test_module}"
    yield from _must(Bash(f"(cd {shlex.quote(str(tree))} && {commit} && {prove})"))
    if meddles:
        yield from _try_to_stash(scene, tree)
    yield from _must(Bash(f"octet task submit {job.id} --branch {branch} --note {shlex.quote(f'{job.test_module} passes')}"))


def _take_step(tree: Path, step: steps.Write | steps.Edit) -> Generator[Act, Answer, None]:
    path = tree / step.path
    if isinstance(step, steps.Write):
        yield from _must(Write(path, step.text))
        return
    yield from _must(Read(path))
    yield from _must(Edit(path, step.old, step.new))


def _note(scene: Scene) -> Generator[Act, Answer, bool]:
    """Leave a note in the shared plan; False where another agent is writing there, has since it was read, or is about to."""
    if not (yield Read(scene.plan)).ok:
        return False
    return (yield Edit(scene.plan, NOTES, f"{NOTES}- {scene.name} was here\n")).ok


def _try_to_stash(scene: Scene, tree: Path) -> Generator[Act, Answer, None]:
    """What a developer must not do: the stash is one for all worktrees, and another agent would get what is put there."""
    answer = yield Bash(f"git -C {shlex.quote(str(tree))} stash")
    if not answer.denied:
        raise Unexpected(f"{scene.name} could stash: {answer.text}")


def _keeps_to(job: Job, changed: Sequence[str]) -> bool:
    """Whether a change brings tests and touches nothing else but the task's paths."""
    tests = [path for path in changed if path.startswith("tests/")]
    return bool(tests) and set(changed) - set(tests) <= set(job.paths)


def _verdict(gate: str, event: Mapping[str, str], passes: bool) -> str:
    return f"{'approved' if passes else 'rejected'} by {gate}: {event['task']} at {event['commit']}"


def _tell_guardian(text: str) -> str:
    return f"octet msg send {GUARDIAN} {shlex.quote(text)}"


def _must(act: Tool) -> Does:
    answer = yield act
    if not answer.ok:
        done = act.command if isinstance(act, Bash) else f"{type(act).__name__} {act.path}"
        raise Unexpected(f"{done}: {'denied: ' if answer.denied else ''}{answer.text}")
    return answer
