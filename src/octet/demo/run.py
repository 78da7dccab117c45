"""A demo from empty directory to report: sandbox, repository, crew, a killed agent, checks."""

from __future__ import annotations

import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from octet.base.errors import OctetError
from octet.base.vocabulary import (
    CODE_SENTINEL,
    DEVELOPER,
    ORCHESTRATOR,
    REPOSITORY_GUARDIAN,
    TEST_ORCHESTRATOR,
)
from octet.client.api import Octet, connect
from octet.daemon.process import control
from octet.demo.checks import (
    TEST_LIMIT_S,
    check_plan_file,
    check_records,
    check_repository,
    check_store,
    read_moves,
)
from octet.demo.crew import MemberSpec, ProcessCrew
from octet.demo.history import History
from octet.demo.report import DemoReport, Facts, compose
from octet.demo.roles import PLAN
from octet.demo.sample import BRANCH, Sample, load_sample, make_repository, test_command
from octet.demo.sandbox import DemoSandbox, cleaned_up, make_sandbox
from octet.git.program import Git
from octet.merge.test_command import TestCommand

LIMIT_S = 240.0
FRAME_S = 0.1
JOIN_S = 10.0

Show = Callable[[History, float], None]


@dataclass(frozen=True)
class DemoOptions:
    """How to run a demo. `keep`: the directory in which the sample repository stays; None: it is
    removed with everything else.
    """

    developers: int = 4
    keep: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class Occurrence:
    """Something the demo was told: an event of the store (`member` is "") or a member's record."""

    member: str
    kind: str
    fields: Mapping[str, Any]
    at_s: float


class DemoRun:
    """One run, in a sandbox that has been entered."""

    def __init__(
        self, options: DemoOptions, sandbox: DemoSandbox, sample: Sample, show: Show
    ) -> None:
        self._options = options
        self._sandbox = sandbox
        self._sample = sample
        self._show = show
        self._began_s = time.monotonic()
        self._occurrences: queue.Queue[Occurrence] = queue.Queue()
        self._history = History(len(sample.jobs))
        self._stalled: Occurrence | None = None
        self._crew = ProcessCrew(lambda name, record: self._tell(name, record["kind"], record))
        self._command = test_command(sys.executable)

    def run(self) -> DemoReport:
        """Everything, in order; all processes are ended on every way out."""
        git = make_repository(self._sandbox.root, self._sample, self._command)
        opt_in(self._sandbox)
        try:
            control.start()
            with connect(self._sandbox.root) as octet:
                with self._followed(octet):
                    self._work()
                duration_s = self._clock()
                self._drain()
                self._show(self._history, duration_s)
                problems = self._check(octet, git)
        finally:
            self._crew.end()
            self._sandbox.stop_services()
        facts = Facts(
            main=git.commit(BRANCH)[:12],
            moves=len(read_moves(git)),
            duration_s=round(duration_s, 1),
            repository=str(self._options.keep or ""),
        )
        return compose(self._history, self._sample.feature, facts, problems)

    def _work(self) -> None:
        """Start the crew and follow it to its end."""
        orchestrator, *others = self._members()
        self._crew.start(orchestrator)
        # The others are to be denied the plan, so its writer must have the lock before they start.
        self._follow_until(lambda: self._plan_is_being_written)
        for member in others:
            self._crew.start(member)
        self._follow_until(lambda: not self._crew.running())

    def _members(self) -> list[MemberSpec]:
        developers = self._options.developers
        stalling = 0
        if developers > 1:
            stalling = random.Random(self._options.seed).randrange(1, developers)
        # The more developers there are, the fewer tasks each is sure to get.
        stalls_at = 2 if developers <= 4 else 1
        roles = [ORCHESTRATOR, CODE_SENTINEL, TEST_ORCHESTRATOR, REPOSITORY_GUARDIAN]
        members = [self._member(role, role) for role in roles]
        for number in range(developers):
            member = self._member(f"{DEVELOPER}-{number + 1}", DEVELOPER)
            stalls = stalls_at if stalling and number == stalling else 0
            members.append(replace(member, careless=number == 0, stalls_at=stalls))
        return members

    def _member(self, name: str, role: str) -> MemberSpec:
        return MemberSpec(name, role, str(self._sandbox.root), sys.executable)

    def _follow_until(self, condition: Callable[[], bool]) -> None:
        """Note and show what happens, until the condition holds.

        Raises:
            OctetError: a member has failed, or the demo takes too long.
        """
        while not condition():
            self._drain(wait_s=FRAME_S)
            self._kill_when_missed()
            self._show(self._history, self._clock())
            if self._history.failures:
                raise OctetError(f"the demo stopped: {self._history.failures[0]}")
            if self._clock() > LIMIT_S:
                raise OctetError(f"the demo did not end within {LIMIT_S:g} s")

    def _drain(self, wait_s: float = 0.0) -> None:
        end_s = time.monotonic() + wait_s
        while True:
            try:
                self._note(self._occurrences.get(timeout=max(0.0, end_s - time.monotonic())))
            except queue.Empty:
                return

    def _note(self, occurrence: Occurrence) -> None:
        if not occurrence.member:
            self._history.note_event(occurrence.kind, occurrence.fields, occurrence.at_s)
        elif occurrence.kind == "stalls":
            self._stalled = occurrence
        else:
            self._history.note_record(occurrence.fields, occurrence.at_s)

    def _kill_when_missed(self) -> None:
        """Kill the stalled developer once another one waits for work and can take its task over."""
        if self._stalled and self._history.waiting_developers():
            self._crew.kill(self._stalled.member)
            self._history.note_kill(str(self._stalled.fields["agent"]), self._clock())
            self._stalled = None

    @contextmanager
    def _followed(self, octet: Octet) -> Iterator[None]:
        """Follow the store's events, from the first to the last."""
        subscribed = threading.Event()
        follower = threading.Thread(target=self._follow, args=(octet, subscribed), daemon=True)
        follower.start()
        while not subscribed.is_set():
            octet.events.publish("demo_began")
            subscribed.wait(0.05)
        try:
            yield
        finally:
            octet.events.publish("demo_ended")
            follower.join(JOIN_S)

    def _follow(self, octet: Octet, subscribed: threading.Event) -> None:
        try:
            for event in octet.events.watch("*"):
                subscribed.set()
                if event.type == "demo_ended":
                    return
                self._tell("", event.type, event.fields)
        except OctetError as error:
            record = {"kind": "failed", "agent": "store", "reason": str(error)}
            self._tell("store", "failed", record)

    def _tell(self, member: str, kind: str, fields: Mapping[str, Any]) -> None:
        self._occurrences.put(Occurrence(member, kind, fields, self._clock()))

    @property
    def _plan_is_being_written(self) -> bool:
        return (self._sandbox.root / PLAN).exists() and f"path:{PLAN}" in self._history.locks

    def _check(self, octet: Octet, git: Git) -> list[str]:
        problems = check_store(octet, self._sample, self._history)
        tasks = octet.tasks.read(job.id for job in self._sample.jobs)
        records = {task: octet.tasks.records(task.id) for task in tasks}
        problems += check_records(records)
        problems += check_repository(git, records, TestCommand(self._command, TEST_LIMIT_S))
        problems += check_plan_file(self._sandbox.root / PLAN, self._sample)
        if self._options.developers > 1 and self._history.failover is None:
            problems.append("no developer was killed")
        return problems

    def _clock(self) -> float:
        return time.monotonic() - self._began_s


def run_demo(options: DemoOptions, show: Show) -> DemoReport:
    """Run a demo. `show` is called about ten times a second with the history so far and the seconds
    since the beginning.

    Raises:
        OctetError: it could not be run to its end; nothing is left behind.
    """
    base = Path(tempfile.mkdtemp(prefix="octet-demo-")).resolve()
    with cleaned_up(base) as cleanup:
        sandbox = make_sandbox(base, options.keep)
        with sandbox.entered():
            report = DemoRun(options, sandbox, load_sample(), show).run()
        left = sandbox.processes(besides=[cleanup])
    problems = [f"process {pid} is left: {command}" for pid, command in left.items()]
    return replace(report, problems=(*report.problems, *problems))


def opt_in(sandbox: DemoSandbox) -> None:
    """`octet init` in the sample repository, as a person would type it."""
    command = [str(sandbox.base / "bin" / "octet"), "init"]
    done = subprocess.run(command, cwd=sandbox.root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OctetError(f"octet init in the sample repository: {done.stderr.strip()}")
