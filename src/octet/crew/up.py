"""`octet up`: what shall run is worked out, written down, and given to a supervisor; nobody returns
before the sessions have registered.

prepared = prepare(octet, Asked(developers=2, headless=True))     # nothing has happened yet started
= start(octet, prepared)                                  # all of the new ones, or none: whatever
interrupts it takes them back
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from octet.base import dirs
from octet.base.errors import OctetError, Refused, UsageError
from octet.base.files import replace_file
from octet.base.process import ProcessIdentity
from octet.base.vocabulary import DEVELOPER
from octet.client.api import Octet
from octet.core.agents.work_states import CREW_DOWN
from octet.crew import client
from octet.crew.capacity import Machine, read_machine
from octet.crew.plan import CrewPlan, Member, plan_crew, roles_of
from octet.crew.record import (
    ENDED,
    GIVEN_UP,
    HEADLESS,
    TMUX,
    CrewDirectory,
    MemberReport,
    Report,
    Wanted,
    agents_of,
)
from octet.merge.queue import suite_of
from octet.project.repository import Project
from octet.runtime import detach
from octet.runtime.environment import module_command
from octet.store.connection import URL_VARIABLE

# From the start of a supervisor to the registration of the last session, on a machine with better
# things to do.
REGISTERED_WITHIN_S = 60.0
ENDS_WITHIN_S = 30.0
OTHERS_WITHIN_S = 600.0
POLL_S = 0.1


@dataclass(frozen=True)
class Asked:
    """What a person asked for; None and () for what they left open."""

    developers: int | None = None
    roles: tuple[str, ...] = ()
    headless: bool = False
    force: bool = False


@dataclass(frozen=True)
class Prepared:
    """What `start` would do. `before`: what there was, None where there was never a crew;
    `running`: it is up.
    """

    directory: CrewDirectory
    wanted: Wanted
    plan: CrewPlan
    machine: Machine
    before: Wanted | None
    running: bool


@dataclass(frozen=True)
class Started:
    """What came of it: the new members as their supervisor sees them, and which agent each of them
    is ("": it has not registered).
    """

    report: Report
    new: tuple[MemberReport, ...]
    agents: Mapping[str, str]


@contextmanager
def alone(directory: CrewDirectory) -> Iterator[None]:
    """One `octet up` or `octet down` for a project at a time.

    Raises:
        Refused: another one takes long.
    """
    directory.create()
    try:
        with FileLock(directory.path / "up.lock", timeout=OTHERS_WITHIN_S):
            yield
    except Timeout as error:
        raise Refused(
            "another `octet up` or `octet down` of this project is at work: wait for it, or end it"
        ) from error


def prepare(octet: Octet, asked: Asked, machine: Machine | None = None) -> Prepared:
    """Work out what is missing; nothing is changed.

    Raises:
        UsageError: no Claude Code, no tmux, no git repository.
        Refused: the crew runs from another clone, or the machine has no room.
    """
    project = octet.project
    if project is None or project.common_dir is None:
        raise UsageError("a crew needs a git repository: run `git init` and make a first commit")
    directory = CrewDirectory.of(octet.name)
    before, supervised = directory.read_wanted(), directory.is_supervised()
    # Where the supervisor was killed, windows of tmux go on: the next one takes them over.
    supervised = supervised or bool(before and before.mode == TMUX and _survivors(directory))
    if before and supervised and before.root != str(project.root):
        raise Refused(
            f"the crew of {octet.name} runs for {before.root}: use that clone, or `octet "
            "down` there first"
        )
    mode = before.mode if before and supervised else HEADLESS if asked.headless else TMUX
    if mode == TMUX:
        from octet.crew.tmux import require_tmux

        require_tmux()
    claude = client.find_claude()
    version = client.read_version(claude)
    # Who names roles for a new crew means those, whatever the crew before had.
    remembered: Mapping[str, Any] = (
        before.asked if before and (supervised or not asked.roles) else {}
    )
    many = asked.developers or remembered.get("developers", 0)
    roles = _roles(project, asked, remembered, supervised)
    if many:
        roles = tuple(dict.fromkeys((*roles, DEVELOPER)))
    developers = many or project.config.crew_developers
    machine = machine or read_machine()
    there = {one.name: one for one in before.members} if before and supervised else {}
    plan = plan_crew(
        machine, roles, developers, running=_running(directory, there), force=asked.force
    )
    plan = _try_again(plan, there)
    plan = replace(plan, notices=(*plan.notices, *_untested(project)))
    wanted = Wanted(
        root=str(project.root),
        mode=mode,
        claude=str(claude),
        version=version,
        plugin=client.plugin_directory(claude, project),
        drop_in=client.has_drop_in(project),
        tmux=_tmux_name(octet.name) if mode == TMUX else "",
        scratch=str(directory.scratch()),
        members=plan.members,
        sessions=_sessions(directory),
        asked={
            "roles": [*roles] if asked.roles or remembered.get("roles") else [],
            "developers": many,
        },
    )
    return Prepared(directory, wanted, plan, machine, before, supervised)


def _untested(project: Project) -> tuple[str, ...]:
    """Said before a crew has spent a day on what it cannot merge."""
    try:
        suite_of(project)
    except Refused as refused:
        return (f"nothing can be merged yet: {refused}",)
    return ()


def _roles(
    project: Project, asked: Asked, remembered: Mapping[str, Any], supervised: bool
) -> tuple[str, ...]:
    """The roles of the crew; a crew that is up keeps those that it has."""
    usual = tuple(remembered.get("roles") or roles_of(project.config))
    roles = (*usual, *asked.roles) if supervised else asked.roles or usual
    return tuple(dict.fromkeys(roles))


def _survivors(directory: CrewDirectory) -> list[str]:
    report = directory.read_report()
    return [one.name for one in report.members if one.alive] if report else []


def _running(directory: CrewDirectory, there: Mapping[str, Member]) -> tuple[Member, ...]:
    """The members that need no start: all but those that a person ended, or that were given up."""
    report = directory.read_report()
    lost = (
        {one.name for one in report.members if one.state in (GIVEN_UP, ENDED)} if report else set()
    )
    return tuple(member for name, member in there.items() if name not in lost)


def _try_again(plan: CrewPlan, there: Mapping[str, Member]) -> CrewPlan:
    new = tuple(
        replace(one, tries=there[one.name].tries + 1) if one.name in there else one
        for one in plan.new
    )
    return CrewPlan((*plan.members[: len(plan.members) - len(new)], *new), new, plan.notices)


def _sessions(directory: CrewDirectory) -> Mapping[str, str]:
    report = directory.read_report()
    return dict(report.sessions) if report else {}


def _tmux_name(project: str) -> str:
    from octet.crew.tmux import session_name

    return session_name(project)


def start(octet: Octet, prepared: Prepared, url: str = "") -> Started:
    """Have a supervisor start what is missing, and wait for it. Call it within `alone`.

    Args:
        url: the store's, where it was named on the command line: the sessions of a new supervisor
            have to use the same.

    Raises:
        OctetError: no supervisor comes up; nothing is left of the attempt.
    """
    assert octet.project is not None
    directory = prepared.directory
    write_settings(octet.project, directory, prepared.wanted)
    try:
        directory.write_wanted(prepared.wanted)
        supervise(directory, url)
        started = _await_registration(octet, directory, prepared.plan.new)
    except BaseException:
        _take_back(prepared)
        raise
    for agents in agents_of(octet.agents.list(), started.report.members).values():
        for agent in agents:  # an `octet down` that was killed has left it so
            octet.work_states.lift(agent, CREW_DOWN)
    return started


def _take_back(prepared: Prepared) -> None:
    """Everything as it was: a crew that was up keeps the members that it had, and of one that was
    not nobody stays.
    """
    directory, before = prepared.directory, prepared.before
    if prepared.running and before:
        directory.write_wanted(before)
        tell(directory)
        return
    directory.write_wanted(replace(prepared.wanted, members=(), hurry=True))
    tell(directory)
    await_end(directory)
    clear(directory)
    directory.write_wanted(replace(before, members=()) if before else None)


def write_settings(project: Project, directory: CrewDirectory, wanted: Wanted) -> None:
    """What members are given: one file of settings for each role, the answer of its permission
    hook, a place to write.
    """
    import json

    top = Path(wanted.scratch)
    if top.is_symlink():  # planted: whatever it leads to is not ours to change
        raise UsageError(f"{top} is a link that somebody made: remove it")
    dirs.make_private(top)
    for role in {member.role for member in wanted.members}:
        scratch, answer = top / role, directory.path / "settings" / f"denied-{role}.json"
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = client.member_settings(project, role, scratch, answer)
        replace_file(answer, json.dumps(client.denial(role, scratch)).encode(), 0o600)
        replace_file(
            directory.path / "settings" / f"{role}.json",
            json.dumps(settings, indent=1).encode(),
            0o600,
        )


def clear(directory: CrewDirectory) -> None:
    """Remove what only running members need; logs stay."""
    for place in (directory.path / "settings", directory.scratch()):
        shutil.rmtree(place, ignore_errors=True)
    for path in directory.path.glob("*.env"):
        path.unlink(missing_ok=True)


def supervise(directory: CrewDirectory, url: str = "") -> None:
    """See that a supervisor lives, and that it has read `wanted.json` as it is now."""
    if not _launch_if_free(directory, url):
        tell(directory)


def tell(directory: CrewDirectory) -> None:
    """Have the supervisor read `wanted.json`; harmless where there is none."""
    report = directory.read_report()
    if report and report.alive and directory.is_supervised():
        with suppress(ProcessLookupError):
            os.kill(ProcessIdentity.parse(report.supervisor).pid, signal.SIGUSR1)


def _launch_if_free(directory: CrewDirectory, url: str) -> bool:
    """Start a supervisor unless one lives; whether one was started."""
    with directory.try_lock() as lock:
        if lock is None:
            return False
        errors = os.open(
            directory.path / "supervisor.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600
        )
        try:
            command = module_command("octet.crew.supervisor", str(directory.path), str(lock))
            environment = client.persons_environment(os.environ) | (
                {URL_VARIABLE: url} if url else {}
            )
            detach.launch(command, (lock,), environment=environment, errors=errors)
        finally:
            os.close(errors)
        return True


def _await_registration(
    octet: Octet, directory: CrewDirectory, members: Sequence[Member]
) -> Started:
    """Wait until each new member is an agent, or has shown that it will not be one."""
    wanted = {(member.name, member.tries) for member in members}
    end = time.monotonic() + REGISTERED_WITHIN_S
    seen = False
    while True:
        if directory.is_supervised():
            seen = True
        elif seen or time.monotonic() > end:
            raise OctetError(
                f"the crew's supervisor does not run ({last_words(directory)}): see "
                f"{directory.path}/supervisor.log"
            )
        report = directory.read_report()
        if report and report.alive:
            new = tuple(one for one in report.members if (one.name, one.tries) in wanted)
            agents = {
                name: found[0].id
                for name, found in agents_of(octet.agents.list(), new).items()
                if found
            }
            settled = [one for one in new if one.name in agents or one.state in (GIVEN_UP, ENDED)]
            if len(settled) == len(wanted) or time.monotonic() > end:
                return Started(report, new, agents)
        time.sleep(POLL_S)


def last_words(directory: CrewDirectory) -> str:
    """Why the supervisor ended, as far as it said so."""
    try:
        lines = (
            (directory.path / "supervisor.err")
            .read_text(encoding="utf-8", errors="replace")
            .strip()
            .splitlines()
        )
    except OSError:
        lines = []
    return lines[-1][:200] if lines else "it says nothing"


def await_end(directory: CrewDirectory, within_s: float = ENDS_WITHIN_S) -> None:
    """Wait until no supervisor lives, and with it none of its members.

    Raises:
        OctetError: it does not end.
    """
    end = time.monotonic() + within_s
    while directory.is_supervised():
        if time.monotonic() > end:
            raise OctetError(
                f"the crew does not end: see {directory.path}/supervisor.log, then try "
                "`octet down --now`"
            )
        tell(directory)
        time.sleep(POLL_S)


def shown_command(directory: CrewDirectory, wanted: Wanted, role: str) -> list[str]:
    """How a session of a role is started, for people; without the name of its conversation."""
    settings, scratch = directory.path / "settings" / f"{role}.json", Path(wanted.scratch) / role
    options = client.session_options(
        role, plugin=wanted.plugin, drop_in=wanted.drop_in, settings=settings, scratch=scratch
    )
    streams = ["-p", *client.STREAMS] if wanted.mode == HEADLESS else []
    return [wanted.claude, *streams, *options]
