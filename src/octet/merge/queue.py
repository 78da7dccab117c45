"""The merge queue: what has passed its gates lands on the protected branch, by one agent at a time,
with the tests for judge.

    queue = MergeQueue(octet, how, lambda: agent)
    for report in queue.serve(wait_s=600):
        print(report.text)

A round: claim what waits, up to a batch → the branch's `repository:` lock → land → record each
outcome as it becomes final → send back at once whatever conflicts with the new tip. Killed at any
instant, the next round takes up from there: the claims go back with their agent, the branch says
what has landed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from octet.base.errors import (
    AgentGone,
    LockHeld,
    NothingToClaim,
    OctetError,
    Refused,
    StaleToken,
    StoreUnreachable,
)
from octet.base.text import plain
from octet.base.vocabulary import MERGE
from octet.client.api import Octet
from octet.client.lease import Lease, LeaseLost
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task, TaskState
from octet.core.tasks.verdicts import NewRecord, Verdict
from octet.core.tasks.waiting import claim_when_there
from octet.fence.attempt import TOKEN_VARIABLE
from octet.git.program import Git
from octet.git.remote import Remote
from octet.git.worktrees import BRANCH_PREFIX
from octet.merge.feedback import evidence_of, findings_of, first_line
from octet.merge.landing import land
from octet.merge.model import (
    Conflict,
    Landed,
    Outcome,
    Strategy,
    Target,
    TestsFailed,
    Unusable,
    Waiting,
    Work,
)
from octet.merge.prediction import Foreseen, foresee
from octet.merge.progress import WAITING
from octet.merge.test_command import Suite
from octet.project import trust
from octet.project.repository import Project
from octet.worktree.removal import clean_up_merged
from octet.worktree.repository import base_branch

TESTS_LIMIT_S = 3600.0
PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0
# How often a queue that waits for work for ever gives up its place among the waiters and takes it
# anew.
TURN_S = 3600.0


@dataclass(frozen=True)
class How:
    """How a project merges. `suite` is None where a person has said that this needs no tests."""

    root: Path
    target: Target
    strategy: Strategy
    batch: int
    suite: Suite | None
    scratch: Path

    @property
    def resource(self) -> str:
        """What must be locked for it."""
        return f"repository:{self.target.branch}"


@dataclass(frozen=True)
class Report:
    """Something that happened, for people in `text`. `kind` is merged, returned, foreseen or
    waiting; `task` is "" for waiting.
    """

    kind: str
    text: str
    task: str = ""
    commit: str = ""


def how_to_merge(project: Project, suite: Suite | None) -> How:
    """As the project's settings say.

    Raises:
        UsageError: there is no protected branch.
    """
    config = project.config
    target = Target(base_branch(project), config.merge_remote)
    scratch = project.root / config.worktree_directory
    return How(
        project.root, target, Strategy(config.merge_strategy), config.merge_batch, suite, scratch
    )


def suite_of(project: Project, *, without: bool = False) -> Suite | None:
    """The project's test command, as this machine's person has approved it; None for `without`,
    which is a person's word.

    Raises:
        Refused: there is no command, or it is not the one that was approved.
    """
    if without:
        return None
    command = project.config.test_command
    if not command:
        raise Refused(
            "no test command is set: write one under [test] in .claude/octet.toml; a person "
            "may merge with --no-tests"
        )
    if refusal := trust.check(project).command_refusal("test.command"):
        raise Refused(refusal)
    return Suite(command, TESTS_LIMIT_S)


def work_of(task: Task) -> Work:
    """What a submitted task brings."""
    return Work(task.id, task.title, task.commit, task.branch)


class MergeQueue:
    """One agent's work at the queue.

    Args:
        register: the agent that merges, registered anew when it was declared dead meanwhile (a
            laptop that slept).
    """

    def __init__(self, octet: Octet, how: How, register: Callable[[], Agent]) -> None:
        self._octet = octet
        self._how = how
        self._register = register
        self._agent = register()
        self._said = ""

    def serve(self, wait_s: float | None = None) -> Iterator[Report]:
        """Merge what comes, until nothing has come for `wait_s` seconds; None: for ever. What keeps
        it waiting is said once.
        """
        pause_s = PAUSE_S
        while True:
            try:
                tasks = self.claim() or self._await(wait_s)
                if not tasks:
                    return
                stuck = False
                for report in self.merge(tasks):
                    stuck = report.kind == "waiting"
                    yield from self._news(report)
            except AgentGone:
                self._agent = self._register()
                continue
            except StoreUnreachable as error:
                stuck = True
                yield from self._news(Report("waiting", str(error)))
            if not stuck:
                self._said, pause_s = "", PAUSE_S
                continue
            self._pause(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def merge_once(self, task_id: str = "") -> Iterator[Report]:
        """Merge what waits now, or one task; what cannot be merged now goes back into the queue.

        Raises:
            NothingToClaim: nothing waits. The others are those of `Tasks.claim`.
        """
        tasks = [self._octet.tasks.claim(self._agent, MERGE, task_id)] if task_id else self.claim()
        if not tasks:
            raise NothingToClaim("nothing waits for the merge stage")
        while tasks:
            for report in self.merge(tasks):
                yield from self._news(report)
                if report.kind == "waiting":
                    self.give_back(report.text)
                    return
            tasks = [] if task_id else self.claim()

    def claim(self) -> Sequence[Task]:
        """What this agent is to merge: what an earlier round has left it, then what waits, up to a
        batch.
        """
        held = list(self._octet.tasks.held_by(self._agent.id))
        tasks = [task for task in held if task.state == TaskState.MERGING]
        others = len(held) - len(tasks)
        with suppress(NothingToClaim):
            while len(tasks) < self._how.batch:
                tasks.append(
                    self._octet.tasks.claim(self._agent, MERGE, most=others + len(tasks) + 1)
                )
        return tasks

    def merge(self, tasks: Sequence[Task]) -> Iterator[Report]:
        """One round with these claims of the agent's; `waiting` comes last and means that they are
        still its claims.

        Raises:
            AgentGone, StoreUnreachable: nothing has moved that is not reported.
        """
        git, tokens, tip = Git(self._how.root), {task.id: task for task in tasks}, ""
        before = git.commit(f"refs/heads/{self._how.target.branch}")
        try:
            with Lease(self._octet, self._agent, self._how.resource) as lease:
                # Git's own fence checks the token at the very moment when the branch moves.
                for outcome in self._land(
                    git.having(**{TOKEN_VARIABLE: lease.token}), tasks, lease.check
                ):
                    if isinstance(outcome, Landed):
                        tip = outcome.tip
                    yield self._record(tokens, outcome)
        except LockHeld as held:
            yield Report("waiting", f"{held.resource} is held by {held.holder}")
        except LeaseLost as lost:
            yield Report("waiting", str(lost))
        if tip:
            yield from (
                _warned(found) for found in foresee(self._octet, self._agent, git, before, tip)
            )

    def give_back(self, why: str) -> None:
        """End the agent's claims of the merge stage; the work waits again."""
        for task in self._octet.tasks.held_by(self._agent.id):
            if task.state == TaskState.MERGING:
                with suppress(StaleToken):
                    self._octet.tasks.release(task.id, task.token, why)

    def _await(self, wait_s: float | None) -> Sequence[Task]:
        try:
            return [
                claim_when_there(
                    self._octet.store, self._agent, MERGE, TURN_S if wait_s is None else wait_s
                )
            ]
        except NothingToClaim:
            return [] if wait_s is not None else self._await(None)

    def _land(
        self, git: Git, tasks: Sequence[Task], fence: Callable[[], None]
    ) -> Iterator[Outcome]:
        works = [work_of(task) for task in tasks]
        how = self._how
        return land(
            git,
            works,
            how.target,
            strategy=how.strategy,
            suite=how.suite,
            scratch=how.scratch,
            fence=fence,
        )

    def _record(self, tasks: dict[str, Task], outcome: Outcome) -> Report:
        if isinstance(outcome, Waiting):
            return Report("waiting", outcome.why)
        task = tasks.pop(outcome.work.task)
        with suppress(
            StaleToken
        ):  # the claim was lost meanwhile: whoever merges next finds what has landed
            if isinstance(outcome, Landed):
                return self._landed(task, outcome)
            return self._send_back(task, outcome)
        return Report(
            "returned",
            f"the claim on {task.id} was lost: it is merged by whoever has it now",
            task.id,
        )

    def _landed(self, task: Task, landed: Landed) -> Report:
        ran = landed.evidence
        proof = (
            f"{ran.command}: passed in {ran.duration_ms / 1000:.1f} s"
            if ran
            else "no tests were run for it"
        )
        record = NewRecord(Verdict.MERGED, evidence=evidence_of(ran))
        self._octet.tasks.complete(
            task.id, task.token, f"merged as {landed.commit}; {proof}", landed.commit, record=record
        )
        stays = self._clean_up(task)
        text = f"merged {task.id} as {landed.commit[:12]} ({proof})"
        return Report("merged", f"{text}; {stays}" if stays else text, task.id, landed.commit)

    def _clean_up(self, task: Task) -> str:
        """Remove the task's worktree and branch, here and at the remote, where nobody and nothing
        needs them; why one stays, or "".
        """
        stays = clean_up_merged(self._octet, task.branch, task.commit)
        target = self._how.target
        if target.remote and task.branch.startswith(BRANCH_PREFIX):
            Remote(Git(self._how.root), target.remote, target.branch).withdraw(
                task.branch, task.commit
            )
        return stays

    def _send_back(self, task: Task, outcome: Conflict | TestsFailed | Unusable) -> Report:
        found, record = findings_of(outcome, self._how.target.branch)
        self._octet.tasks.send_back(task.id, task.token, found, commit=task.commit, record=record)
        return Report(
            "returned", f"{task.id} goes back to its developer: {first_line(found)}", task.id
        )

    def _news(self, report: Report) -> Iterator[Report]:
        if report.kind != "waiting":
            yield report
        elif report.text != self._said:
            self._said = report.text
            with suppress(OctetError):
                self._octet.events.publish(
                    WAITING, {"branch": self._how.target.branch, "why": plain(report.text, 500)}
                )
            yield report

    def _pause(self, seconds: float) -> None:
        """Until a lock comes free, or for a while: a checkout that is cleaned up sends no event."""
        end = time.monotonic() + seconds
        try:
            next(self._octet.events.watch("lock_*", timeout_s=seconds), None)
        except StoreUnreachable:
            time.sleep(max(0.0, end - time.monotonic()))


@contextmanager
def merging(queue: MergeQueue) -> Iterator[MergeQueue]:
    """Whatever ends it, its claims go back to the queue."""
    try:
        yield queue
    finally:
        with suppress(OctetError):
            queue.give_back("the merge queue has ended")


def _warned(found: Foreseen) -> Report:
    where = ", ".join(map(plain, found.paths))
    if found.sent_back:
        return Report(
            "foreseen",
            f"{found.task} goes back to its developer: it conflicts with what was merged in "
            f"{where}",
            found.task,
        )
    return Report(
        "foreseen",
        f"{found.told} was told that {found.task} conflicts with what was merged in {where}",
        found.task,
    )
