"""How a scripted model plays the roles of a crew, by what `agents/*.md` tell them: one plain command a call, nothing that needs a person.

Each player works as long as there is work, so that it needs nobody to wake it; `finished` tells when the feature is merged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from .crew_model import CrewModel
from .model import Block, Result
from .test_whole_flow import CHECKS, CODE, PLAN, TEST, TESTS, held, shell, write

WAIT = "--wait 20s"
Does = Generator[Block, Result, Any]


class Players:
    """The players of one crew.

    Args:
        repository: where the sessions begin.
        scratch: where the orchestrator may write its plan.
        finished: whether all is done.
    """

    def __init__(self, repository: Path, scratch: Path, finished: Callable[[], bool]) -> None:
        self._repository, self._scratch, self._finished = repository, scratch, finished
        self.refused: list[str] = []

    def enter(self, model: CrewModel) -> None:
        """Let the model play them."""
        model.play("orchestrator", lambda _name: self._plan())
        model.play("developer", lambda _name: self._develop())
        model.play("code-sentinel", lambda _name: self._review())
        model.play("test-orchestrator", lambda _name: self._repeat(f"octet test run --all {WAIT}"))
        model.play("repository-guardian", lambda _name: self._repeat(f"octet merge run {WAIT}"))

    def _plan(self) -> Does:
        """Claim the feature, write the plan, queue its tasks; where that was done before the session was killed, only say so."""
        while not self._finished():
            claimed = yield shell(f"octet task claim {WAIT}")
            if not (task := held(claimed)):
                continue
            listed = yield shell("octet task graph")
            if "price [" not in listed.text:
                plan = self._scratch / "plan.md"
                yield from self._must(shell(f"cat > '{plan}' <<'END'\n{PLAN}END"))
                yield from self._must(shell(f"octet task import '{plan}'"))
            yield from self._must(shell(f"octet task complete {task} --result 'three tasks are queued'"))

    def _develop(self) -> Does:
        while not self._finished():
            task = held((yield shell(f"octet task claim {WAIT}")))
            if task in CODE:
                yield from self._build(task)

    def _build(self, task: str) -> Does:
        made = yield from self._must(shell(f"octet worktree add {task}"))
        worktree = Path(re.findall(r"octet/\S+ in (.+)", made)[0])
        yield from self._must(write(worktree / "tests" / f"test_{task}.py", TEST.format(task=task, check=CHECKS[task])))
        yield from self._must(write(worktree / "shop" / f"{task}.py", CODE[task]))
        yield from self._must(shell(f"cd '{worktree}'"))
        yield from self._must(shell("git merge main"))
        yield from self._must(shell(TESTS))
        yield from self._must(shell("git add -A"))
        yield from self._must(shell(f"git commit -q -m 'Build {task}'"))
        yield from self._must(shell(f"octet task submit {task} --note 'built; {TESTS} passed'"))
        yield from self._must(shell(f"cd '{self._repository}'"))

    def _review(self) -> Does:
        while not self._finished():
            started = yield shell(f"octet review start {WAIT}")
            if task := held(started):
                [look] = re.findall(r"look +(git diff .*)", started.text)
                yield from self._must(shell(look))
                yield from self._must(shell(f"octet review approve {task} --note 'read all of it'"))

    def _repeat(self, command: str) -> Does:
        while not self._finished():
            yield shell(command)

    def _must(self, block: Block) -> Generator[Block, Result, str]:
        """One call that ought to succeed; its output. What is refused is kept for the test, and the turn goes on."""
        result = yield block
        if result.failed:
            self.refused.append(f"{block}: {result.text}")
        return result.text
