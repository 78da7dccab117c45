"""The merge queue: tasks that have passed their gates land on the protected branch, by one agent at
a time, if the tests pass.

    with MergeQueue(octet, settings, lambda: agent) as queue:
        for report in queue.serve(wait_s=600):
            print(report.text)

A round: claim what waits, up to a batch → the branch's `repository:` lock → land → record each
outcome as soon as it is final → predict conflicts with the new tip. A kill at any instant loses
nothing: the agent's claims are released, and the next round finds on the branch what has landed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType

from octet.base.errors import (
    AgentGone,
    LockHeld,
    NothingToClaim,
    OctetError,
    StaleToken,
    StoreUnreachable,
)
from octet.base.text import plain
from octet.base.vocabulary import MERGE
from octet.client.api import Octet
from octet.client.lease import Lease, LeaseLost
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task, TaskState
from octet.core.tasks.waiting import claim_when_there
from octet.fence.attempt import TOKEN_VARIABLE
from octet.git.program import Git
from octet.merge.landing import land
from octet.merge.model import Landed, MergeBlocked, Outcome
from octet.merge.prediction import PredictedConflict, predict_conflicts
from octet.merge.records import MergeReport, record_outcome, work_of
from octet.merge.settings import MergeSettings
from octet.merge.waiting_reason import WAITING_EVENT

PAUSE_S, MAX_PAUSE_S = 1.0, 15.0
# A queue that waits without limit takes its place among the waiters anew this often.
WAITER_TURN_S = 3600.0


class MergeQueue:
    """One agent's work at the queue; as a context manager it releases the agent's claims.

    Args:
        register: registers the agent that merges; called again if the agent was declared dead
            meanwhile (a laptop that slept).
    """

    def __init__(
        self, octet: Octet, settings: MergeSettings, register: Callable[[], Agent]
    ) -> None:
        self._octet = octet
        self._settings = settings
        self._register = register
        self._agent = register()
        self._announced = ""

    def __enter__(self) -> MergeQueue:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OctetError):
            self.release_claims("the merge queue has ended")

    def serve(self, wait_s: float | None = None) -> Iterator[MergeReport]:
        """Merge tasks as they come, until none has come for `wait_s` seconds (None: for ever). A
        reason for waiting is reported once.
        """
        pause_s = PAUSE_S
        while True:
            blocked = False
            try:
                tasks = self.claim_batch() or self._wait_for_task(wait_s)
                if not tasks:
                    return
                for report in self.merge_batch(tasks):
                    blocked = report.kind == "waiting"
                    if self._announce(report):
                        yield report
            except AgentGone:
                self._agent = self._register()
                continue
            except StoreUnreachable as error:
                blocked = True
                report = MergeReport("waiting", str(error))
                if self._announce(report):
                    yield report
            if not blocked:
                self._announced, pause_s = "", PAUSE_S
                continue
            self._pause(pause_s)
            pause_s = min(pause_s * 2, MAX_PAUSE_S)

    def merge_once(self, task_id: str = "") -> Iterator[MergeReport]:
        """Merge what waits now, or one task; what cannot be merged now goes back into the queue.

        Raises:
            NothingToClaim: nothing waits; and what `Tasks.claim` raises.
        """
        if task_id:
            tasks: Sequence[Task] = [self._octet.tasks.claim(self._agent, MERGE, task_id)]
        else:
            tasks = self.claim_batch()
        if not tasks:
            raise NothingToClaim("nothing waits for the merge stage")
        while tasks:
            for report in self.merge_batch(tasks):
                if self._announce(report):
                    yield report
                if report.kind == "waiting":
                    self.release_claims(report.text)
                    return
            tasks = [] if task_id else self.claim_batch()

    def claim_batch(self) -> Sequence[Task]:
        """The tasks that an earlier round left to this agent, then waiting ones, up to a batch."""
        held = list(self._octet.tasks.held_by(self._agent.id))
        tasks = [task for task in held if task.state == TaskState.MERGING]
        others = len(held) - len(tasks)
        with suppress(NothingToClaim):
            while len(tasks) < self._settings.batch:
                claims = others + len(tasks)
                tasks.append(self._octet.tasks.claim(self._agent, MERGE, max_claims=claims + 1))
        return tasks

    def merge_batch(self, tasks: Sequence[Task]) -> Iterator[MergeReport]:
        """One round with these claims of the agent's. A report `waiting` comes last and means that
        it still has the rest of them.

        Raises:
            AgentGone, StoreUnreachable: nothing has moved that is not reported.
        """
        settings, open_tasks, tip = self._settings, {task.id: task for task in tasks}, ""
        git = Git(settings.root)
        before = git.commit(f"refs/heads/{settings.target.branch}")
        try:
            with Lease(self._octet, self._agent, settings.resource) as lease:
                for outcome in self._land(git, tasks, lease):
                    if isinstance(outcome, MergeBlocked):
                        yield MergeReport("waiting", outcome.why)
                        continue
                    if isinstance(outcome, Landed):
                        tip = outcome.tip
                    task = open_tasks.pop(outcome.work.task)
                    yield record_outcome(self._octet, settings, task, outcome)
        except LockHeld as held:
            yield MergeReport("waiting", f"{held.resource} is held by {held.holder}")
        except LeaseLost as lost:
            yield MergeReport("waiting", str(lost))
        if tip:
            for found in predict_conflicts(self._octet, self._agent, git, before, tip):
                yield _predicted(found)

    def release_claims(self, why: str) -> None:
        """End the agent's claims of the merge stage; the work waits again."""
        for task in self._octet.tasks.held_by(self._agent.id):
            if task.state == TaskState.MERGING:
                with suppress(StaleToken):
                    self._octet.tasks.release(task.id, task.token, why)

    def _wait_for_task(self, wait_s: float | None) -> Sequence[Task]:
        while True:
            turn_s = WAITER_TURN_S if wait_s is None else wait_s
            try:
                return [claim_when_there(self._octet.store, self._agent, MERGE, turn_s)]
            except NothingToClaim:
                if wait_s is not None:
                    return []

    def _land(self, git: Git, tasks: Sequence[Task], lease: Lease) -> Iterator[Outcome]:
        settings = self._settings
        return land(
            # Git's own fence checks the token at the very moment when the branch moves.
            git.having(**{TOKEN_VARIABLE: lease.token}),
            [work_of(task) for task in tasks],
            settings.target,
            strategy=settings.strategy,
            test_command=settings.test_command,
            directory=settings.directory,
            fence=lease.check,
        )

    def _announce(self, report: MergeReport) -> bool:
        """Whether a report is news. A new reason for waiting is also published as an event."""
        if report.kind != "waiting":
            return True
        if report.text == self._announced:
            return False
        self._announced = report.text
        fields = {"branch": self._settings.target.branch, "why": plain(report.text, 500)}
        with suppress(OctetError):
            self._octet.events.publish(WAITING_EVENT, fields)
        return True

    def _pause(self, seconds: float) -> None:
        """Wait for a released lock, but not for long: a cleaned-up checkout sends no event."""
        end = time.monotonic() + seconds
        try:
            next(self._octet.events.watch("lock_*", timeout_s=seconds), None)
        except StoreUnreachable:
            time.sleep(max(0.0, end - time.monotonic()))


def _predicted(found: PredictedConflict) -> MergeReport:
    where = ", ".join(map(plain, found.paths))
    if found.sent_back:
        text = (
            f"{found.task} goes back to its developer: it conflicts with what was merged in {where}"
        )
    else:
        text = f"{found.told} was told that {found.task} conflicts with what was merged in {where}"
    return MergeReport("foreseen", text, found.task)
