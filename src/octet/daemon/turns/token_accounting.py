"""Counts the tokens that transcripts name, on a thread of its own, and pauses and resumes agents by
the budgets.

A hook waits a moment for its transcript, so that a budget that is used up is known before the agent
gets more work; what takes longer goes on without the hook. The client writes its last lines after
the hook: each transcript is read once more, soon after.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from octet.base.errors import OctetError, StoreUnreachable
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.agents.work_state import WorkState
from octet.core.usage.cost import CREW_KINDS, PAUSED_BY
from octet.core.usage.transcript_reader import TranscriptReader
from octet.core.usage.transcripts import end_of
from octet.daemon.projects.sessions import ProjectKey, Projects, ProjectSession
from octet.project.config import Config

log = logging.getLogger(__name__)

WAIT_S = 0.3
AGAIN_S = 2.0
ENFORCE_EVERY_S = 10.0
MAX_JOBS = 1000
MAX_SUBAGENTS = 1000
SUBAGENT_FILE = re.compile(r"agent-([A-Za-z0-9_-]{1,64})\.jsonl")

# A session that changes its directory may work for two projects: each counts its transcript.
JobKey = tuple[ProjectKey, Path]


@dataclass
class _Job:
    """A transcript to be read."""

    project: ProjectSession
    agent: Agent
    transcript: Path
    begun: bool  # the transcript began with this agent, and counts from its beginning
    whole: bool  # those of the session's sub-agents are read too
    due: float  # by `time.monotonic`
    last: bool = False  # it is not read once more
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def key(self) -> JobKey:
        return self.project.key, self.transcript


class TokenAccounting:
    """The accounts of every project of this machine; thread-safe."""

    def __init__(self, projects: Projects, reader: TranscriptReader) -> None:
        self._projects = projects
        self._reader = reader
        self._jobs: dict[JobKey, _Job] = {}
        # Of sub-agents' transcripts, in whatever project: what one has counted no other counts
        # again.
        self._sizes: dict[Path, int] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._enforce_at = 0.0

    def start(self) -> None:
        """Begin, unless begun."""
        with self._changed:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(
                    target=self._run, name="token-accounting", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """End; what was not read yet is read after the next event of its session."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            thread = self._thread
        if thread:
            thread.join(timeout=2)

    def begin(self, project: ProjectSession, agent: Agent, transcript: str) -> None:
        """A session begins or goes on: what its transcript holds by now was used before, or by the
        session that it is a copy of.
        """
        if path := _transcript_path(transcript):
            project.connected().cost.begin(path, end_of(path), agent.joined_ms)

    def account(
        self,
        project: ProjectSession,
        agent: Agent,
        transcript: str,
        *,
        subagent: bool = False,
        wait_s: float = WAIT_S,
    ) -> None:
        """Have a transcript read on and the budgets enforced; waits for that at most `wait_s`."""
        path = _transcript_path(transcript)
        if path is None:
            return
        now = time.monotonic()
        job = _Job(project, agent, path, begun=subagent, whole=not subagent, due=now)
        with self._changed:
            if len(self._jobs) < MAX_JOBS:
                self._jobs[job.key] = job
            self._changed.notify_all()
        self.start()
        job.done.wait(wait_s)

    def _run(self) -> None:
        while (job := self._next()) or not self._stopping:
            try:
                if job:
                    self._read(job)
                else:
                    self._enforce_all()
            except StoreUnreachable as error:
                log.warning("tokens are counted later: %s", error)
            except Exception:
                log.exception("tokens are not counted")
            finally:
                if job:
                    job.done.set()

    def _next(self) -> _Job | None:
        """The next job that is due; None when it is time to enforce the budgets, or to end."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                first = min(self._jobs.values(), key=lambda job: job.due, default=None)
                if first and first.due <= now:
                    return self._jobs.pop(first.key)
                if self._enforce_at <= now:
                    return None
                next_at = min(self._enforce_at, first.due) if first else self._enforce_at
                self._changed.wait(next_at - now)
        return None

    def _read(self, job: _Job) -> None:
        octet, config = job.project.connected(), job.project.config
        task = _task_of(octet, job.agent)
        octet.cost.account(
            job.agent, job.transcript, config, task, begun=job.begun, reader=self._reader
        )
        if job.whole:
            for path, agent in self._grown_subagents(octet, job):
                own = _task_of(octet, agent) or task
                octet.cost.account(agent, path, config, own, begun=True, reader=self._reader)
        _enforce(job.project)
        if not job.last:
            self._read_again(job)

    def _read_again(self, job: _Job) -> None:
        due = time.monotonic() + AGAIN_S
        again = _Job(job.project, job.agent, job.transcript, job.begun, job.whole, due, last=True)
        with self._changed:
            self._jobs.setdefault(again.key, again)

    def _grown_subagents(self, octet: Octet, job: _Job) -> Iterator[tuple[Path, Agent]]:
        """The transcripts of the session's sub-agents that have grown since the last reading. One
        without an agent, which has ended or was compaction's, counts for its session.
        """
        process = job.agent.process.partition("#")[0]
        for number, (path, name, size) in enumerate(_subagents(job.transcript)):
            if number >= MAX_SUBAGENTS:
                return
            if self._sizes.get(path) != size:
                if len(self._sizes) > 10 * MAX_SUBAGENTS:
                    self._sizes.clear()
                self._sizes[path] = size
                yield path, octet.agents.find(f"{process}#{name}") or job.agent

    def _enforce_all(self) -> None:
        self._enforce_at = time.monotonic() + ENFORCE_EVERY_S
        for project in self._projects.all():
            # Where the settings cannot be read just now, the last ones are followed.
            with suppress(OctetError):
                self._projects.find(str(project.root), project.url or "")
        for project in self._projects.all():
            try:
                if project.octet:
                    _enforce(project)
            except OctetError as error:
                log.warning("%s: budgets are enforced later: %s", project.name, error)


def budget_notice(agent: Agent, state: WorkState) -> str:
    """For the person at the terminal: that a budget pauses the agent; "" when none does."""
    if state.paused_by != PAUSED_BY:
        return ""
    return f"Octet: {agent.id} is paused: {state.paused}."


def has_budget(config: Config) -> bool:
    """Whether a budget is set; without one no agent's state need be read."""
    return bool(config.budget_day_tokens or config.budget_task_tokens)


def _enforce(project: ProjectSession) -> None:
    octet, config = project.connected(), project.config
    agents = [agent for agent in octet.agents.list() if agent.kind in CREW_KINDS]
    if has_budget(config) or any(
        state.paused_by == PAUSED_BY
        for state in octet.work_states.of([agent.id for agent in agents]).values()
    ):
        octet.cost.enforce(agents, config, {agent.id: _task_of(octet, agent) for agent in agents})


def _task_of(octet: Octet, agent: Agent) -> str:
    """The task that an agent holds, or its session's; "" for none."""
    for name in filter(None, [agent.id, agent.parent]):
        if held := octet.tasks.held_by(name):
            return str(held[0].id)
    return ""


def _transcript_path(transcript: str) -> Path | None:
    path = Path(transcript)
    return path if path.is_absolute() and path.suffix == ".jsonl" else None


def _subagents(transcript: Path) -> Iterator[tuple[Path, str, int]]:
    """The transcripts of a session's sub-agents: path, the sub-agent's id, size."""
    try:
        with os.scandir(transcript.with_suffix("") / "subagents") as entries:
            for entry in entries:
                if (match := SUBAGENT_FILE.fullmatch(entry.name)) and entry.is_file():
                    yield Path(entry.path), match[1], entry.stat().st_size
    except OSError:  # there are none, or they have just gone
        return
