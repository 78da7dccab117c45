"""A feature of 200 tasks with random scopes and dependencies, built by ten simulated developers and
merged as they go.

Each developer is a process: it claims, works in a worktree of its own, edits real files, commits,
submits. One process merges. What is compared is how long the crew takes and how long it would take
at least: the longest chain of dependent tasks, or all work shared out evenly, whichever is longer,
with the times that the work took here. The tests of the repository fail where an edit was lost,
came twice, or came before one that it depends on.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.claim import start_server
from benchmarks.table import Row, render
from octet.base.errors import AgentGone, NothingToClaim, StaleToken
from octet.client.api import Octet, connect
from octet.core.agents.identity import this_process
from octet.core.agents.registry import Agent
from octet.core.tasks.plans import NewTask
from octet.core.tasks.record import Task, TaskState
from octet.core.tasks.waiting import claim_when_there
from octet.git.program import Git
from octet.merge.queue import MergeQueue
from octet.merge.settings import approved_test_command, read_merge_settings
from octet.project import trust
from octet.project.repository import load_project
from octet.worktree.creation import prepare_worktree

SEED = 7
LOOK_S = 2.0
CHECK = """
import json, pathlib
deps = json.loads(pathlib.Path("deps.json").read_text())
steps = {}
for part in sorted(pathlib.Path("parts").iterdir()):
    head, *lines = part.read_text().splitlines()
    assert head == f"count {len(lines)}", f"{part}: {head}, and {len(lines)} steps"
    for line in lines:
        steps[line] = steps.get(line, 0) + 1
for step, count in steps.items():
    task = step.split()[1]
    assert count == deps[task]["parts"], f"{step} came {count} times"
    assert all(f"step {other}" in steps for other in deps[task]["after"]), f"{step} came too early"
"""


@dataclass(frozen=True)
class Size:
    """How large the feature is; a developer's work on a task takes `least_s` to `most_s`, besides
    what git and Octet take.
    """

    tasks: int = 200
    developers: int = 10
    parts: int = 80
    least_s: float = 4.0
    most_s: float = 12.0


@dataclass(frozen=True)
class Built:
    """What came of it; times in seconds. `rebuilt` counts builds beyond one a task, `tips` are the
    states of the branch.
    """

    makespan_s: float
    bound_s: float
    rebuilt: int
    tips: Sequence[str]


def run() -> list[Row]:
    """The crew's time as a ratio of the least possible."""
    with tempfile.TemporaryDirectory(prefix="octet-feature-") as directory:
        size = Size()
        built = build_feature(Path(directory), size)
        failing = [tip for tip in built.tips if not passes(Path(directory, "shop"), tip)]
    ratio = built.makespan_s / built.bound_s
    return [
        Row(
            f"{size.tasks} tasks, {size.developers} developers, least possible",
            built.bound_s,
            "s",
            None,
            None,
            True,
        ),
        Row("the crew", built.makespan_s, "s", ratio, "<= 1.15", ratio <= 1.15),
        Row(
            "states of the branch that fail its tests", len(failing), "", None, "none", not failing
        ),
        Row("tasks that had to be built again", built.rebuilt, "", None, None, True),
    ]


def make_plan(size: Size, seed: int = SEED) -> list[NewTask]:
    """Tasks that touch one to three parts and depend on up to three earlier ones; what more depends
    on comes first.
    """
    dice = random.Random(seed)
    plan: list[NewTask] = []
    for number in range(size.tasks):
        parts = dice.sample(range(size.parts), dice.choice([1, 1, 1, 2, 2, 3]))
        # Not on those just before: a chain through all of them would leave the others nothing to
        # do.
        earlier = plan[: max(0, number - 2 * size.developers)]
        after = dice.sample(earlier, min(len(earlier), dice.choice([0, 0, 1, 1, 2, 3])))
        plan.append(
            NewTask(
                title=f"Task {number}",
                id=f"t{number}",
                paths=tuple(f"parts/{part:03}" for part in sorted(parts)),
                after=tuple(task.id for task in after),
                gates=("merge",),
            )
        )
    behind = heights(plan, dict.fromkeys((task.id for task in plan), 1.0))
    return [replace(task, priority=behind[task.id]) for task in plan]


def heights(plan: Sequence[NewTask], costs: Mapping[str, float]) -> dict[str, float]:
    """For each task the longest chain that begins with it."""
    found: dict[str, float] = {}
    for task in reversed(plan):  # a task depends on earlier ones only
        following = (
            found[other.id] for other in plan if task.id in other.after and other.id in found
        )
        found[task.id] = costs[task.id] + max(following, default=0.0)
    return found


def build_feature(directory: Path, size: Size, seed: int = SEED) -> Built:
    """Run the whole of it below an empty directory; the repository is `shop` there."""
    plan, root, log = make_plan(size, seed), directory / "shop", directory / "log"
    os.environ |= {"OCTET_HOME": str(directory / "state"), "OCTET_DAEMON": "never"}
    make_repository(root, plan)
    log.mkdir()
    server, address = start_server(directory)
    url = f"unix://{address}"
    members: list[subprocess.Popen[bytes]] = []
    try:
        with connect(root, url=url) as octet:
            octet.tasks.add_many(plan)
            began = time.monotonic()
            members += [_start("guardian", root, url, log)]
            members += [
                _start(f"developer {n} {size.least_s} {size.most_s} {seed}", root, url, log)
                for n in range(size.developers)
            ]
            while octet.tasks.counts()[TaskState.DONE] < size.tasks:
                if any(member.poll() for member in members):
                    raise RuntimeError("a member of the crew has failed")
                time.sleep(0.05)
            makespan_s = time.monotonic() - began
            records = octet.tasks.list(TaskState.DONE, size.tasks)
        for member in members:
            member.wait(60)
    finally:
        for member in members:
            member.kill()
            member.wait()
        server.terminate()
        server.wait()
    costs = read_costs(log)
    bound_s = max(sum(costs.values()) / size.developers, max(heights(plan, costs).values()))
    tips = Git(root).out("rev-list", "--first-parent", "main").splitlines()
    return Built(makespan_s, bound_s, sum(task.attempts for task in records) - size.tasks, tips)


def make_repository(root: Path, plan: Sequence[NewTask]) -> None:
    """A file for each part, the tests, and this machine's approval."""
    (root / "parts").mkdir(parents=True)
    for path in {path for task in plan for path in task.paths}:
        (root / path).write_text("count 0\n")
    deps = {task.id: {"after": task.after, "parts": len(task.paths)} for task in plan}
    (root / "deps.json").write_text(json.dumps(deps))
    (root / "check.py").write_text(CHECK)
    (root / ".claude").mkdir()
    command = f"{sys.executable} -I -S check.py"
    (root / ".claude" / "octet.toml").write_text(
        f'project = "feature"\n[test]\ncommand = {json.dumps(command)}\n'
    )
    (root / ".gitignore").write_text(".claude/worktrees/\n")
    git = Git(root)
    git.out("init", "--quiet", "--initial-branch=main")
    for name, value in (
        ("user.name", "Ann"),
        ("user.email", "ann@example.org"),
        ("commit.gpgSign", "false"),
    ):
        git.out("config", name, value)
    git.out("add", "--all")
    git.out("commit", "--quiet", "-m", "Begin")
    trust.approve(load_project(root))


def passes(root: Path, commit: str) -> bool:
    """Whether the repository's tests pass at a commit."""
    with tempfile.TemporaryDirectory() as place:
        packed = subprocess.run(
            ["git", "-C", root, "archive", commit], check=True, capture_output=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", place], input=packed, check=True)
        return (
            subprocess.run(
                [sys.executable, "-I", "-S", "check.py"],
                cwd=place,
                capture_output=True,
                check=False,
            ).returncode
            == 0
        )


def read_costs(log: Path) -> dict[str, float]:
    """How long the work on each task took, from claim to submission, all attempts together."""
    costs: dict[str, float] = {}
    for file in log.iterdir():
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            costs[entry["task"]] = costs.get(entry["task"], 0.0) + entry["s"]
    return costs


def develop(
    root: Path, url: str, log: Path, number: int, least_s: float, most_s: float, seed: int
) -> None:
    """One developer, until everything is done."""
    dice = random.Random(seed * 1000 + number)
    with connect(root, url=url, wait_s=5) as octet, open(log / f"developer-{number}", "w") as file:
        agent = _register(octet, "developer")
        while (task := _next(octet, agent)) is not None:
            began = time.monotonic()
            _work(octet, agent, task, dice.uniform(least_s, most_s))
            file.write(json.dumps({"task": task.id, "s": time.monotonic() - began}) + "\n")
            file.flush()


def guard(root: Path, url: str) -> None:
    """The one that merges, until everything is done."""
    with connect(root, url=url, wait_s=5) as octet:
        project = load_project(root)
        queue = MergeQueue(
            octet,
            read_merge_settings(project, approved_test_command(project)),
            lambda: _register(octet, "repository-guardian"),
        )
        while _is_open(octet):
            for report in queue.serve(wait_s=LOOK_S):
                print(report.text, flush=True)


def _next(octet: Octet, agent: Agent) -> Task | None:
    while _is_open(octet):
        octet.agents.heartbeat([agent])
        with suppress(NothingToClaim):
            return claim_when_there(octet.store, agent, "build", LOOK_S)
    return None


def _is_open(octet: Octet) -> bool:
    counts = octet.tasks.counts()
    return sum(counts.values()) > counts[TaskState.DONE]


def _work(octet: Octet, agent: Agent, task: Task, seconds: float) -> None:
    prepared = prepare_worktree(octet, agent, task)
    for path in task.paths:
        _take_step(Path(prepared.path, path), task.id)
    time.sleep(seconds)  # the model thinks
    git = Git(Path(prepared.path))
    git.out("commit", "--quiet", "--all", "-m", task.title)
    with suppress(StaleToken, AgentGone):
        octet.tasks.submit(task.id, task.token, branch=prepared.branch, commit=git.commit("HEAD"))


def _take_step(path: Path, task: str) -> None:
    _, *steps = path.read_text().splitlines()
    # Where it is put is the part's own business; two that do it at once would meet in the first
    # line.
    path.write_text(
        "\n".join([f"count {len(steps) + 1}", *sorted([*steps, f"step {task}"])]) + "\n"
    )


def _register(octet: Octet, role: str) -> Agent:
    return octet.agents.register(replace(this_process(role), lease_ms=600_000)).agent


def _start(member: str, root: Path, url: str, log: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.feature",
        *member.split(),
        str(root),
        url,
        str(log),
    ]
    with open(log.parent / f"{member.replace(' ', '-')}.out", "wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parents[1],
        )


def main(words: list[str]) -> None:
    """A member of the crew: `developer NUMBER LEAST MOST SEED ROOT URL LOG` or `guardian ROOT URL
    LOG`; without words, the benchmark.
    """
    match words:
        case []:
            print(render(run()))
        case ["guardian", root, url, _]:
            guard(Path(root), url)
        case ["developer", number, least, most, seed, root, url, log]:
            develop(Path(root), url, Path(log), int(number), float(least), float(most), int(seed))


if __name__ == "__main__":
    main(sys.argv[1:])
