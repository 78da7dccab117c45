"""Landings killed at every step, and many at once: main is old or new, tested, and nothing is lost
or landed twice.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from tests.support.repositories import assert_in_step, commit, name_somebody, poll

import octet
from octet.git.program import Git
from octet.merge.commits import COMMIT_TRAILER
from octet.merge.model import Strategy

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600), pytest.mark.usefixtures("alone")]

SOURCES = str(Path(octet.__file__).parents[1])
KILLS = 8
WORKER = Path(__file__).parent / "landing_worker.py"
# Fails where a work is half there.
CHECK = 'for f in *.a; do test -e "$f" || continue; test -e "${f%.a}.b" || exit 1; done\n'


class Lander:
    """A process that lands, in a fork for each line it is sent."""

    def __init__(self, directory: Path) -> None:
        command = [sys.executable, str(WORKER), "serve"]
        environment = {**os.environ, "PYTHONPATH": SOURCES}
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def land(self, *words: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(*words, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture
def lander(alone: Path) -> Iterator[Lander]:
    started = Lander(alone)
    yield started
    started.close()


class Story:
    """A repository with works on branches, and perhaps a bare remote beside it; made once and
    copied for each kill.
    """

    def __init__(self, directory: Path, count: int, remote: str) -> None:
        self.directory, self.remote = directory, remote
        directory.mkdir()
        git = self.git
        git.directory.mkdir()
        git.out("init", "--quiet", "--initial-branch=main", "--template=")
        name_somebody(git)
        self.base = commit(git, {"check.sh": CHECK, "shared.txt": "1\n2\n3\n4\n5\n"})
        self.works = {f"t{number}": self._work(git, f"t{number}") for number in range(count)}
        git.out("checkout", "--quiet", "main")
        if remote:
            git.out("clone", "--quiet", "--bare", "--template=", ".", "../remote.git")
            git.out("remote", "add", remote, "../remote.git")

    @property
    def git(self) -> Git:
        return Git(self.directory / "repo")

    @property
    def remote_git(self) -> Git:
        return Git(self.directory / "remote.git")

    def copy(self, to: Path) -> Story:
        shutil.copytree(self.directory, to, symlinks=True)
        copied = object.__new__(Story)
        copied.__dict__.update(self.__dict__, directory=to)
        return copied

    def words(self, strategy: Strategy, step: int, *tasks: str) -> list[str]:
        works = [f"{task}={self.works[task]}" for task in tasks or self.works]
        return [strategy, f"-{self.remote}", str(self.git.directory), str(step), *works]

    def land(self, lander: Lander, strategy: Strategy, step: int) -> str:
        return lander.land(*self.words(strategy, step))

    def land_all(self, lander: Lander, strategy: Strategy) -> bool:
        """Whether everything has landed; git commands that outlived a killed landing may still be
        at work.
        """
        assert self.land(lander, strategy, 0) == "done"
        return self.outcomes() == dict.fromkeys(self.works, "Landed")

    def land_each(self, lander: Lander) -> int:
        """One after the other, each again until it has landed; how many have."""
        for task in self.works:
            while self.outcomes().get(task) != "Landed":
                assert lander.land(*self.words(Strategy.MERGE, 0, task)) == "done"
        return len(self.works)

    def outcomes(self) -> dict[str, str]:
        """The last of each work; those of the repository as a whole do not count."""
        log = self.directory / "outcomes-repo"
        lines = log.read_text().splitlines() if log.exists() else []
        return {task: kind for task, kind in (line.split() for line in lines) if task != "-"}

    def join(self, hub: Path, count: int) -> None:
        """Take the bare repository as origin, its main for ours, and make works."""
        self.remote = "origin"
        self.git.out("remote", "add", "origin", str(hub))
        self.git.out("fetch", "--quiet", "origin")
        self.git.out("reset", "--quiet", "--hard", "origin/main")
        self.base = self.git.commit("main")
        self.works = {
            task: self._work(self.git, task)
            for task in (f"{self.directory.name}{n}" for n in range(count))
        }
        self.git.out("checkout", "--quiet", "main")

    def check_safe(self, strategy: Strategy) -> None:
        """What holds at any instant: every commit that a protected branch has been at was tested,
        and no branch is lost.
        """
        only_tip = strategy is Strategy.REBASE
        for git in [self.git, *([self.remote_git] if self.remote else [])]:
            check_tested(git, self.base, [self.directory / "tested-repo"], only_tip)
        for task, submitted in self.works.items():
            assert self.git.commit(f"refs/heads/{task}") == submitted

    def check_landed(self, strategy: Strategy) -> None:
        """What holds at the end: each work is there once, and nothing else is left."""
        self.check_safe(strategy)
        for git in [self.git, *([self.remote_git] if self.remote else [])]:
            check_once(git, self.works, strategy)
        assert_in_step(self.git)
        assert len(self.git.out("worktree", "list").splitlines()) == 1
        assert self.git.out("for-each-ref", "refs/octet") == ""
        inside = self.git.directory / ".git"
        assert [
            path.name for path in inside.rglob("*.lock") if path.name != "octet-merge.lock"
        ] == []
        assert not list((inside / "worktrees").glob("*"))
        assert not list((self.directory / "trees-repo").glob("*"))

    def _work(self, git: Git, task: str) -> str:
        git.out("checkout", "--quiet", "-b", task, "main")
        commit(git, {f"{task}.a": "a\n"}, f"half of {task}")
        return commit(git, {f"{task}.b": "b\n"}, f"other half of {task}")


@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize("remote", ["", "origin"])
def test_a_kill_at_any_moment(alone: Path, lander: Lander, remote: str, group: bool) -> None:
    """Killed while a git command is at work, alone or with that command, the next landing goes on;
    nothing is lost or landed twice.
    """
    chance = random.Random(7)
    template = Story(alone / "template", 2, remote)
    for number in range(KILLS):
        story = template.copy(alone / f"kill-{number}")
        victim = subprocess.Popen(
            [sys.executable, str(WORKER), *story.words(Strategy.MERGE, 0)],
            env={**os.environ, "PYTHONPATH": SOURCES},
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )
        poll((story.directory / "started-repo").exists)
        time.sleep(chance.uniform(0, 0.25))  # the moment of the kill
        (os.killpg if group else os.kill)(victim.pid, signal.SIGKILL)
        victim.wait()
        poll(partial(story.land_all, lander, Strategy.MERGE), 30)
        story.check_landed(Strategy.MERGE)
        shutil.rmtree(story.directory)


def test_two_queues_on_two_clones(alone: Path, lander: Lander) -> None:
    """They land ten works each at once: all twenty are in the remote's branch once, on a line of
    tested commits.
    """
    left, right = (Story(alone / name, 0, "") for name in ("left", "right"))
    hub = alone / "hub.git"
    left.git.out("clone", "--quiet", "--bare", "--template=", ".", str(hub))
    for story in (left, right):
        story.join(hub, 10)
    second = Lander(alone)
    with ThreadPoolExecutor(2) as pool:
        queues = [
            pool.submit(story.land_each, one) for story, one in ((left, lander), (right, second))
        ]
        assert [queue.result() for queue in queues] == [10, 10]
    second.close()
    works = left.works | right.works
    assert len(works) == 20
    check_tested(Git(hub), left.base, [story.directory / "tested-repo" for story in (left, right)])
    check_once(Git(hub), works, Strategy.MERGE)
    for story in (left, right):
        assert_in_step(story.git)
        assert Git(hub).contains("main", story.git.commit("main"))


def check_tested(git: Git, base: str, logs: Sequence[Path], only_tip: bool = False) -> None:
    tested = {line for log in logs if log.exists() for line in log.read_text().split()}
    line = git.out("rev-list", "--first-parent", "--reverse", "main").split()
    assert line[0] == base
    trees = {
        step: git.out("rev-parse", f"{step}^{{tree}}") for step in line[1:][-1 if only_tip else 0 :]
    }
    assert [step for step, tree in trees.items() if tree not in tested] == []


def check_once(git: Git, works: dict[str, str], strategy: Strategy) -> None:
    """Each work has one commit that brought it in, and its files are in main."""
    files = set(git.out("ls-tree", "--name-only", "main").split())
    assert {f"{task}.{half}" for task in works for half in "ab"} <= files
    if strategy is Strategy.MERGE:
        seconds = Counter(
            line.split()[2]
            for line in git.out("rev-list", "--merges", "--parents", "main").splitlines()
        )
        assert {submitted: seconds[submitted] for submitted in works.values()} == dict.fromkeys(
            works.values(), 1
        )
        return
    for submitted in works.values():
        found = git.out("rev-list", f"--grep=^{COMMIT_TRAILER}: {submitted}$", "main").split()
        assert len(found) == (2 if strategy is Strategy.REBASE else 1)


@pytest.mark.parametrize("remote", ["", "origin"])
@pytest.mark.parametrize(
    ("strategy", "count"),
    [(Strategy.MERGE, 1), (Strategy.MERGE, 3), (Strategy.SQUASH, 1), (Strategy.REBASE, 1)],
)
def test_a_kill_at_every_step(
    alone: Path, lander: Lander, strategy: Strategy, count: int, remote: str
) -> None:
    """Killed around any git command: the next landing recovers; each work lands exactly once."""
    template = Story(alone / "template", count, remote)
    for step in range(1, 1000):
        story = template.copy(alone / f"step-{step}")
        first = story.land(lander, strategy, step)
        story.check_safe(strategy)
        if first == "done":
            break
        assert first == "killed"
        assert story.land(lander, strategy, 0) == "done", step
        assert story.outcomes() == dict.fromkeys(story.works, "Landed"), step
        story.check_landed(strategy)
        shutil.rmtree(story.directory)
    story.check_landed(strategy)
    assert step > 40
