"""A commit behind the fence against a plain `git commit`, and against one with empty hooks.

Everything is real: `octet init`, the hooks, a warm daemon with its store, a repository of some
size. The candidates take turns; medians of CPU (git and all that it starts) and of wall time. What
git itself spends on starting a hook twice is the floor: `/bin/true` as a hook. A pre-commit hook
would be a third process, and make git read its index again; where the project has one of its own,
git does that anyway.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.hook import Candidate, Cost, Sandbox, measure, median, octet, sandbox, start_session
from benchmarks.table import Row, render

GIT = shutil.which("git") or "git"
FILES = 5000
ROUNDS = 60
WARM_UP = 3
BUDGET = 1.3
PLAIN, FLOOR = "git commit", "git commit, /bin/true as its hook"
FLOOR_BEFORE = "git commit, /bin/true as its hook and as pre-commit"
OWN_HOOK = "#!/bin/sh\nexit 0\n"


@dataclass(frozen=True)
class Committer:
    """Who commits, in which checkout, with which hooks ("" for the repository's)."""

    name: str
    directory: Path
    hooks: str
    environment: Mapping[str, str]
    budget: float | None


def run(rounds: int = ROUNDS) -> list[Row]:
    """Measure; the first rows are the yardstick and the floor."""
    # The agent is no ancestor of ours: else there would be no person here.
    with (
        subprocess.Popen(["sleep", "3600"]) as client,
        sandbox(client.pid) as place,
        other_hooks() as hooks,
    ):
        try:
            agent = {
                **place.environment,
                "GIT_CONFIG_GLOBAL": os.devnull,
                "GIT_CONFIG_NOSYSTEM": "1",
            }
            agent |= {
                f"GIT_{who}_{what}": "ann@example.org"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            }
            person = {name: value for name, value in agent.items() if name != "CLAUDE_PID"}
            tree = fill(place.repository, person)
            settle(place, tree, client.pid)
            committers = [
                Committer(PLAIN, tree, hooks["nothing"], person, None),
                Committer(FLOOR, tree, hooks["true"], person, None),
                Committer(FLOOR_BEFORE, tree, hooks["before"], person, None),
                Committer("a person's, on a task's branch", tree, "", person, BUDGET),
                Committer("an agent's, on its task's branch", tree, "", agent, BUDGET),
                Committer(f"{PLAIN} on main", place.repository, hooks["nothing"], person, None),
                Committer("a person's, on main", place.repository, "", person, BUDGET),
            ]
            rows = list(make_rows(committers, take_turns(committers, rounds)))
            own = [
                Committer(f"{PLAIN}, a pre-commit of one's own", tree, hooks["own"], person, None),
                Committer("a person's, beside it", tree, "", person, BUDGET),
                Committer("an agent's, beside it", tree, "", agent, BUDGET),
            ]
            with own_hook(place):
                rows += make_rows(own, take_turns(own, rounds))
            # Last, because the agent then holds the branch, and a person would be told so at each
            # commit.
            asking = [
                committers[-2],
                Committer("an agent's, on main, asked about", place.repository, "", agent, None),
            ]
            return [*rows, *list(make_rows(asking, take_turns(asking, rounds)))[2:]]
        finally:
            client.kill()


def fill(root: Path, environment: Mapping[str, str]) -> Path:
    """Files, a first commit on main, and a worktree on a task's branch; the worktree."""
    for number in range(FILES):
        path = root / f"part{number % 50}" / f"file{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{number}\n" * 20)
    tree = root.parent / "tree"
    branch = ["symbolic-ref", "HEAD", "refs/heads/main"]
    quiet = ["config", "gc.auto", "0"]  # else it starts during a measurement
    for words in (
        quiet,
        branch,
        ["add", "-A"],
        ["commit", "-q", "-m", "Begin"],
        ["worktree", "add", "-q", "-b", "octet/t1", str(tree)],
    ):
        subprocess.run(["git", *words], cwd=root, env=environment, check=True)
    return tree


def settle(place: Sandbox, tree: Path, pid: int) -> None:
    """The agent's session goes on in the worktree, and the hooks have been told."""
    start_session(place.environment, tree)
    hints = place.repository.parent / ".local" / "state" / "octet" / "fence"
    end = time.monotonic() + 30
    while f"{pid} {tree}" not in hints.read_text():
        if time.monotonic() > end:
            raise SystemExit("the daemon does not tell git's hooks of the agent")
        octet(place.environment, tree, "status")
        time.sleep(0.1)


@contextmanager
def other_hooks() -> Iterator[dict[str, str]]:
    """Directories of hooks by name: none; /bin/true as reference-transaction, and `before` each
    commit too; one's own pre-commit.
    """
    with tempfile.TemporaryDirectory(prefix="octet-hooks-") as name:
        directories = {kind: Path(name, kind) for kind in ("nothing", "true", "before", "own")}
        for directory in directories.values():
            directory.mkdir()
        for kind, hook in (
            ("true", "reference-transaction"),
            ("before", "reference-transaction"),
            ("before", "pre-commit"),
        ):
            (directories[kind] / hook).symlink_to("/bin/true")
        write_own_hook(directories["own"])
        yield {kind: str(directory) for kind, directory in directories.items()}


@contextmanager
def own_hook(place: Sandbox) -> Iterator[None]:
    """The repository has a pre-commit of its own, and Octet's before it."""
    write_own_hook(place.repository / ".git" / "hooks")
    octet(place.environment, place.repository, "init")
    yield
    (place.repository / ".git" / "hooks-before-octet" / "pre-commit").unlink()
    octet(place.environment, place.repository, "init")


def write_own_hook(directory: Path) -> None:
    """A pre-commit that does nothing: the one beside which ours weighs most."""
    (directory / "pre-commit").write_text(OWN_HOOK)
    (directory / "pre-commit").chmod(0o755)


def take_turns(committers: Sequence[Committer], rounds: int) -> dict[str, Cost]:
    """Medians by name."""
    costs: dict[str, list[Cost]] = {committer.name: [] for committer in committers}
    for number in range(WARM_UP + rounds):
        for committer in committers:
            cost = commit(committer, number)
            if number >= WARM_UP:
                costs[committer.name].append(cost)
    return {name: median(found) for name, found in costs.items()}


def commit(committer: Committer, number: int) -> Cost:
    """One changed file, committed."""
    (committer.directory / "part0" / "file0.txt").write_text(f"{committer.name} {number}\n")
    hooks = ["-c", f"core.hooksPath={committer.hooks}"] if committer.hooks else []
    command = [GIT, *hooks, "commit", "-q", "-a", "-m", "Change"]
    return measure(
        Candidate(committer.name, command, committer.directory),
        committer.environment,
        Path(os.devnull),
    )


def make_rows(committers: Sequence[Committer], costs: Mapping[str, Cost]) -> Iterator[Row]:
    """Each as a multiple of the plain commit before it, in the same checkout."""
    for committer in committers:
        cost = costs[committer.name]
        if committer.name.startswith(PLAIN) and committer.name not in (FLOOR, FLOOR_BEFORE):
            base = cost
        for kind, value, of in (
            ("CPU", cost.cpu_ms, base.cpu_ms),
            ("wall", cost.wall_ms, base.wall_ms),
        ):
            ratio = None if base is cost else value / of
            budget = f"<= {committer.budget}" if committer.budget else None
            yield Row(
                f"{committer.name}, {kind}",
                value,
                "ms",
                ratio,
                budget,
                not (budget and ratio) or ratio <= BUDGET,
            )


if __name__ == "__main__":
    print(render(run(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)))
