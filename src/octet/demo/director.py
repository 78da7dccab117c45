"""Runs a demo from the empty directory to the report: sandbox, repository, crew, one death, checks."""

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
from octet.demo.chronicle import Chronicle
from octet.demo.crew import Part, ProcessCrew
from octet.demo.report import Facts, Report, compose
from octet.demo.roles import PLAN
from octet.demo.sample import BRANCH, Sample, load_sample, make_repository, test_command
from octet.demo.sandbox import Sandbox, make_sandbox, watched
from octet.demo.verdict import (
    TEST_LIMIT_S,
    check_plan,
    check_records,
    check_repository,
    check_store,
    read_moves,
)
from octet.git.program import Git
from octet.merge.test_command import TestCommand

LIMIT_S = 240.0
FRAME_S = 0.1
JOIN_S = 10.0

Show = Callable[[Chronicle, float], None]


@dataclass(frozen=True)
class Options:
    """How to run a demo. `keep`: the directory in which the sample repository stays; None: it is
    removed with everything else.
    """

    developers: int = 4
    keep: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class Happening:
    """Something that reached the director: an event of the store (`name` is "") or a line of a
    member.
    """

    name: str
    kind: str
    fields: Mapping[str, Any]
    at_s: float


class Director:
    """One run in a sandbox that has been entered."""

    def __init__(self, options: Options, sandbox: Sandbox, sample: Sample, show: Show) -> None:
        self._options = options
        self._sandbox = sandbox
        self._sample = sample
        self._show = show
        self._began_s = time.monotonic()
        self._happenings: queue.Queue[Happening] = queue.Queue()
        self._story = Chronicle(len(sample.jobs))
        self._victim: Happening | None = None
        self._crew = ProcessCrew(lambda name, record: self._hear(name, record["kind"], record))
        self._command = test_command(sys.executable)

    def run(self) -> Report:
        """Everything, in order; what runs is ended on every way out."""
        git = make_repository(self._sandbox.root, self._sample, self._command)
        approve(self._sandbox)
        try:
            control.start()
            with connect(self._sandbox.root) as octet:
                with self._followed(octet):
                    self._play()
                duration_s = self._clock()
                self._drain()
                self._show(self._story, duration_s)
                problems = self._check(octet, git)
        finally:
            self._crew.end()
            self._sandbox.stop_services()
        facts = Facts(
            git.commit(BRANCH)[:12],
            len(read_moves(git)),
            round(duration_s, 1),
            str(self._options.keep or ""),
        )
        return compose(self._story, self._sample.feature, facts, problems)

    def _play(self) -> None:
        """Start the crew and watch it to its end."""
        orchestrator, *others = self._parts()
        self._crew.start(orchestrator)
        # Whoever writes the plan next is to be denied: not before its writer has it.
        self._watch(until=lambda: self._plan_is_being_written)
        for part in others:
            self._crew.start(part)
        self._watch(until=lambda: not self._crew.running())

    def _parts(self) -> list[Part]:
        developers = self._options.developers
        victim = random.Random(self._options.seed).randrange(1, developers) if developers > 1 else 0
        # The more developers there are, the fewer tasks are sure to come to each.
        lingers_at = 2 if developers <= 4 else 1
        roles = [ORCHESTRATOR, CODE_SENTINEL, TEST_ORCHESTRATOR, REPOSITORY_GUARDIAN]
        crew = [self._part(role, role) for role in roles]
        for number in range(developers):
            lingers = lingers_at if victim and number == victim else 0
            crew.append(
                self._part(
                    f"{DEVELOPER}-{number + 1}", DEVELOPER, careless=number == 0, lingers_at=lingers
                )
            )
        return crew

    def _part(self, name: str, role: str, *, careless: bool = False, lingers_at: int = 0) -> Part:
        return Part(name, role, str(self._sandbox.root), sys.executable, careless, lingers_at)

    def _watch(self, until: Callable[[], bool]) -> None:
        """Take in what happens and show it, until `until` or a failure.

        Raises:
            OctetError: a member has failed, or it takes too long.
        """
        while not until():
            self._drain(wait_s=FRAME_S)
            self._kill_when_missed()
            self._show(self._story, self._clock())
            if self._story.failures:
                raise OctetError(f"the demo stopped: {self._story.failures[0]}")
            if self._clock() > LIMIT_S:
                raise OctetError(f"the demo did not end within {LIMIT_S:g} s")

    def _drain(self, wait_s: float = 0.0) -> None:
        end_s = time.monotonic() + wait_s
        while True:
            try:
                self._take_in(self._happenings.get(timeout=max(0.0, end_s - time.monotonic())))
            except queue.Empty:
                return

    def _take_in(self, happening: Happening) -> None:
        if not happening.name:
            self._story.event(happening.kind, happening.fields, happening.at_s)
        elif happening.kind == "lingers":
            self._victim = happening
        else:
            self._story.said(happening.fields, happening.at_s)

    def _kill_when_missed(self) -> None:
        """Kill the one that stands still once another developer waits for work: from then on its
        task is missed.
        """
        if self._victim and self._story.free_developers():
            self._crew.kill(self._victim.name)
            self._story.killed(str(self._victim.fields["agent"]), self._clock())
            self._victim = None

    @contextmanager
    def _followed(self, octet: Octet) -> Iterator[None]:
        """Listen to the store's events: from the first one on, to the last."""
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
                self._hear("", event.type, event.fields)
        except OctetError as error:
            self._hear(
                "store", "failed", {"kind": "failed", "agent": "store", "reason": str(error)}
            )

    def _hear(self, name: str, kind: str, fields: Mapping[str, Any]) -> None:
        self._happenings.put(Happening(name, kind, fields, self._clock()))

    @property
    def _plan_is_being_written(self) -> bool:
        return (self._sandbox.root / PLAN).exists() and f"path:{PLAN}" in self._story.locks

    def _check(self, octet: Octet, git: Git) -> list[str]:
        problems = check_store(octet, self._sample, self._story)
        tasks = {
            task: octet.tasks.records(task.id)
            for task in octet.tasks.read(job.id for job in self._sample.jobs)
        }
        problems += check_records(tasks)
        problems += check_repository(git, tasks, TestCommand(self._command, TEST_LIMIT_S))
        problems += check_plan(self._sandbox.root / PLAN, self._sample)
        if self._options.developers > 1 and self._story.failover is None:
            problems.append("no developer was killed")
        return problems

    def _clock(self) -> float:
        return time.monotonic() - self._began_s


def run_demo(options: Options, show: Show) -> Report:
    """Run a demo; `show` is called about ten times a second with the story so far and its age in
    seconds.

    Raises:
        OctetError: it could not be run to its end; nothing is left behind.
    """
    base = Path(tempfile.mkdtemp(prefix="octet-demo-")).resolve()
    with watched(base) as keeper:
        sandbox = make_sandbox(base, options.keep)
        with sandbox.entered():
            report = Director(options, sandbox, load_sample(), show).run()
        left = sandbox.processes(besides=[keeper])
    problems = [f"process {pid} is left: {command}" for pid, command in left.items()]
    return replace(report, problems=(*report.problems, *problems))


def approve(sandbox: Sandbox) -> None:
    """`octet init` in the sample repository, as a person would."""
    command = [str(sandbox.base / "bin" / "octet"), "init"]
    done = subprocess.run(command, cwd=sandbox.root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OctetError(f"octet init in the sample repository: {done.stderr.strip()}")
