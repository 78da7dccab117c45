"""How a scripted model plays the eight roles of a crew, by what `agents/*.md` tell them: one plain
command a call, none for a person.

A turn does what it was handed, and ends; what comes next is Octet's to say. No role waits, asks for
work, or knows when all is done.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Generator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.scripted_model import Block, Result, Tool

from octet.base.vocabulary import ROLES

from .crew_model import CrewModel, Told
from .test_whole_flow import CHECKS, CODE, TEST, TESTS, shell, write

Does = Generator[Block, Result, Any]

PLAN = """\
# The bill
- [shape] Who sums and who taxes is settled
  stage: design
  accept: each of the three modules has one owner
- [price] A price is read from text
  after: shape
  paths: shop/price.py, tests/test_price.py
  accept: tests/test_price.py passes
- [tax] Tax is added to an amount
  after: shape
  labels: security
  paths: shop/tax.py, tests/test_tax.py
  accept: tests/test_tax.py passes
- [bill] The bill sums prices and adds tax
  after: price, tax
  paths: shop/bill.py, tests/test_bill.py
  accept: tests/test_bill.py passes
- [manual] The README tells how a bill is made
  stage: docs
  after: bill
  paths: README
"""
MANUAL = (
    "A repository to work in.\n\nshop.bill.total(texts) is the sum of the prices in `texts`, "
    "with tax.\n"
)
HANDED = re.compile(r"Octet: your next task is ([^\s,]+), claimed for you")
ENDS = re.compile(r"octet (task (complete|submit)|review approve) ")
# Whose work is claimed by the command that does it.
COMMANDS = {
    "test-orchestrator": "octet test run --all",
    "repository-guardian": "octet merge run --once",
}
SETTLED = "price reads, tax adds, bill calls both"


class Frozen:
    """The first session of a role that makes a certain call of a task, or the one that ends it: it
    never does, because it is killed there.

    Args:
        calls: how many calls it makes before.
    """

    def __init__(self, calls: int) -> None:
        self.calls, self.agent, self.task = calls, "", ""
        self._thawed = threading.Event()

    def catch(self, agent: str, task: str) -> None:
        """Freeze the session: players call this just before that call."""
        if self.agent in ("", agent) and not self._thawed.is_set():
            self.agent, self.task = agent, task
            self._thawed.wait()

    def thaw(self) -> None:
        """The frozen session has been killed: its successor may go on."""
        self._thawed.set()


class Players:
    """The players of one crew.

    Args:
        repository: where the sessions begin.
        scratch: where the orchestrator may write its plan.
        frozen: role → who of it is stopped in the middle of a task.
    """

    def __init__(self, repository: Path, scratch: Path, frozen: Mapping[str, Frozen]) -> None:
        self._repository, self._scratch, self._frozen = repository, scratch, frozen
        self.refused: list[str] = []

    def enter(self, model: CrewModel) -> None:
        """Let the model play them."""
        plays: dict[str, Callable[[str], Does]] = {
            "orchestrator": self._plan,
            "architect": self._design,
            "developer": self._build,
            "code-sentinel": self._judge,
            "security-auditor": self._judge,
            "documentation-keeper": self._document,
        }
        for role, play in plays.items():
            model.play(role, partial(self._work, play))
        for role, command in COMMANDS.items():
            model.play(role, partial(self._run, command))
        assert set(ROLES) == {*plays, *COMMANDS}

    def _work(self, play: Callable[[str], Does], told: Told) -> Does:
        """The task that was handed out, if one was."""
        if found := HANDED.search(told.words):
            yield from self._in_steps(told, found[1], play(found[1]))

    def _in_steps(self, told: Told, task: str, does: Does) -> Does:
        frozen, result = self._frozen.get(told.role), None
        for count in itertools.count():
            try:
                block = next(does) if result is None else does.send(result)
            except StopIteration:
                return
            if frozen and (
                count >= frozen.calls or ENDS.match(str(getattr(block, "input", {}).get("command")))
            ):
                frozen.catch(told.agent, task)
            result = yield block

    def _run(self, command: str, told: Told) -> Does:
        """Work of a stage whose command claims for itself."""
        if f"`{command}`" in told.words:
            yield from self._must(shell(command))

    def _plan(self, task: str) -> Does:
        """Write the plan, queue its tasks; where that was done before the session was killed, only
        say so.
        """
        graph = yield from self._must(shell("octet task graph"))
        if "price [" not in graph:
            plan = self._scratch / "plan.md"
            yield from self._must(shell(f"cat > {plan} <<'END'\n{PLAN}END"))
            yield from self._must(shell(f"octet task import {plan}"))
        yield from self._must(shell(f"octet task complete {task} --result 'five tasks are queued'"))

    def _design(self, task: str) -> Does:
        yield from self._must(shell(f"octet msg send orchestrator '{SETTLED}'"))
        yield from self._must(shell(f"octet task complete {task} --result '{SETTLED}'"))

    def _build(self, task: str) -> Does:
        worktree = yield from self._enter(task)
        yield from self._replace(
            worktree / "tests" / f"test_{task}.py", TEST.format(task=task, check=CHECKS[task])
        )
        yield from self._replace(worktree / "shop" / f"{task}.py", CODE[task])
        yield from self._must(shell("git merge main"))
        yield from self._must(shell(TESTS))
        yield from self._submit(task, f"built; {TESTS} passed")

    def _document(self, task: str) -> Does:
        worktree = yield from self._enter(task)
        yield from self._replace(worktree / "README", MANUAL)
        yield from self._submit(task, "README; read against shop/bill.py")

    def _judge(self, task: str) -> Does:
        started = yield from self._must(shell(f"octet review start {task}"))
        [look] = re.findall(r"look +(git diff .*)", started)
        yield from self._must(shell(look))
        yield from self._must(shell(f"octet review approve {task} --note 'read all of it'"))

    def _enter(self, task: str) -> Generator[Block, Result, Path]:
        """Enter the task's worktree, with what an earlier holder had done there."""
        made = yield from self._must(shell(f"octet worktree add {task}"))
        worktree = Path(re.findall(r"octet/\S+ in (.+)", made)[0])
        yield from self._must(shell(f"cd '{worktree}'"))
        shown = yield from self._must(shell(f"octet task show {task}"))
        if f"octet task rescue {task}" in shown:
            yield from self._must(shell(f"octet task rescue {task}"))
        return worktree

    def _replace(self, path: Path, content: str) -> Does:
        """Write a file; the client wants it read before, where it is there."""
        yield Tool("Read", {"file_path": str(path)})
        yield from self._must(write(path, content))

    def _submit(self, task: str, note: str) -> Does:
        yield from self._must(shell("git add -A"))
        status = yield from self._must(shell("git status --porcelain"))
        if "README" in status or ".py" in status:
            yield from self._must(shell(f"git commit -q -m 'Make {task}'"))
        yield from self._must(shell(f"octet task submit {task} --note '{note}'"))
        yield from self._must(shell(f"cd '{self._repository}'"))

    def _must(self, block: Block) -> Generator[Block, Result, str]:
        """One call that ought to succeed; its output. What is refused is kept for the test, and the
        turn goes on.
        """
        result = yield block
        if result.failed:
            self.refused.append(f"{block}: {result.text}")
        return result.text
