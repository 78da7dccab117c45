"""Lands works and kills itself with SIGKILL at the step it was told: before or after a git command,
a word to git, a test run.

    landing_worker.py STRATEGY REMOTE REPOSITORY STEP WORK=COMMIT…    # STEP 0: no kill
    landing_worker.py serve    # reads such lines, runs each in a fork, answers how it ended

Outcomes go to `outcomes` beside the repository, a line each: work, kind.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import git.cmd  # noqa: F401  (imported once, before the forks)

from octet.git.program import Git
from octet.merge import branch_move
from octet.merge.landing import land
from octet.merge.model import MergeTarget, Strategy, Work
from octet.merge.test_command import TestCommand

TESTS = 'sh check.sh && git rev-parse "HEAD^{tree}" >> "$TESTED"'


class Killer:
    """Counts steps; the process dies at the one that was named."""

    def __init__(self, at: int) -> None:
        self._at, self._count = at, 0

    def step(self) -> None:
        self._count += 1
        if self._count == self._at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*args: Any, **kwargs: Any) -> Any:
            self.step()
            answer = act(*args, **kwargs)
            self.step()
            return answer

        return acting

    def around_conversation(self, converse: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def conversing(*args: Any, **kwargs: Any) -> Iterator[Any]:
            self.step()
            with converse(*args, **kwargs) as process:
                self.step()
                yield process
            self.step()

        return conversing


def main(strategy: str, remote: str, repository: str, step: str, *works: str) -> None:
    killer = Killer(int(step))
    for name in ("run", "fed", "within"):
        setattr(Git, name, killer.around(getattr(Git, name)))
    setattr(Git, "converse", killer.around_conversation(Git.converse))  # noqa: B010
    setattr(TestCommand, "run_in", killer.around(TestCommand.run_in))  # noqa: B010
    setattr(branch_move, "_send", killer.around(branch_move._send))  # noqa: B010
    root = Path(repository)
    os.environ["TESTED"] = str(root.parent / f"tested-{root.name}")
    submitted = [
        Work(task, f"do {task}", commit, task)
        for task, _, commit in (word.partition("=") for word in works)
    ]
    target = MergeTarget("main", remote.removeprefix("-"))
    (root.parent / f"started-{root.name}").touch()
    with open(root.parent / f"outcomes-{root.name}", "a") as log:
        for outcome in land(
            Git(root),
            submitted,
            target,
            strategy=Strategy(strategy),
            test_command=TestCommand(TESTS, 60),
            directory=root.parent / f"trees-{root.name}",
        ):
            print(
                outcome.work.task if hasattr(outcome, "work") else "-",
                type(outcome).__name__,
                file=log,
                flush=True,
            )
            if not hasattr(outcome, "work"):
                print(outcome.why, file=sys.stderr)


def serve() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            main(*line.split())
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print({0: "done", -signal.SIGKILL: "killed"}.get(status, f"failed {status}"), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        main(*sys.argv[1:])
