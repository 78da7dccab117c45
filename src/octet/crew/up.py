"""`octet up`: plan the crew, write it down, and have a supervisor start it.

prepared = prepare(octet, CrewRequest(developers=2, headless=True))     # changes nothing
started = start(octet, prepared)    # all new sessions or none: an interruption takes them back
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from octet.base import dirs
from octet.base.errors import OctetError, Refused, UsageError
from octet.base.files import replace_file
from octet.base.vocabulary import DEVELOPER
from octet.client.api import Octet
from octet.core.agents.work_states import CREW_DOWN
from octet.crew import client
from octet.crew.capacity import Machine, read_machine
from octet.crew.control import (
    POLL_S,
    await_end,
    ensure_supervisor,
    last_words,
    notify_supervisor,
    remove_run_files,
)
from octet.crew.plan import CrewPlan, Member, plan_crew, roles_of
from octet.crew.record import (
    ENDED,
    GIVEN_UP,
    HEADLESS,
    TMUX,
    CrewDirectory,
    CrewReport,
    MemberReport,
    WantedCrew,
    agents_of,
)
from octet.merge.settings import approved_test_command
from octet.project.repository import Project

# From the start of a supervisor to the registration of the last session, on a busy machine.
REGISTERED_WITHIN_S = 60.0


@dataclass(frozen=True)
class CrewRequest:
    """What a person asked for; None and () for the options left out."""

    developers: int | None = None
    roles: tuple[str, ...] = ()
    headless: bool = False
    force: bool = False


@dataclass(frozen=True)
class PreparedCrew:
    """What `start` will do. `before` is the crew that was wanted last, None if there was none;
    `running` says whether it is up.
    """

    directory: CrewDirectory
    wanted: WantedCrew
    plan: CrewPlan
    machine: Machine
    before: WantedCrew | None
    running: bool


@dataclass(frozen=True)
class StartedCrew:
    """The result. `new` are the members that were to be started; `agents` has the agent of each
    that has registered.
    """

    report: CrewReport
    new: tuple[MemberReport, ...]
    agents: Mapping[str, str]


def prepare(octet: Octet, request: CrewRequest, machine: Machine | None = None) -> PreparedCrew:
    """Work out what is missing; nothing is changed.

    Raises:
        UsageError: Claude Code, tmux or the git repository is missing.
        Refused: the crew runs from another clone, or the machine has no room.
    """
    project = octet.project
    if project is None or project.common_dir is None:
        raise UsageError("a crew needs a git repository: run `git init` and make a first commit")
    directory = CrewDirectory.of(octet.name)
    before, running = directory.read_wanted(), _is_running(directory)
    if before and running and before.root != str(project.root):
        raise Refused(
            f"the crew of {octet.name} runs from {before.root}: use that clone, or run `octet "
            "down` there first"
        )
    there = before if running else None
    mode = there.mode if there else HEADLESS if request.headless else TMUX
    if mode == TMUX:
        from octet.crew.tmux import require_tmux

        require_tmux()
    claude = client.find_claude()
    version = client.read_version(claude)
    # Options that name roles for a new crew replace those of the crew before.
    remembered = before.asked if before and (running or not request.roles) else {}
    many = request.developers or remembered.get("developers", 0)
    roles = _roles(project, request, remembered, running)
    if many:
        roles = tuple(dict.fromkeys((*roles, DEVELOPER)))
    machine = machine or read_machine()
    plan = _plan(directory, machine, roles, many or project.config.crew_developers, there, request)
    wanted = WantedCrew(
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
            "roles": [*roles] if request.roles or remembered.get("roles") else [],
            "developers": many,
        },
    )
    notices = (*plan.notices, *_missing_tests(project))
    plan = replace(plan, notices=notices)
    return PreparedCrew(directory, wanted, plan, machine, before, running)


def _is_running(directory: CrewDirectory) -> bool:
    """Whether there are members to go on with. Windows of tmux outlive a supervisor that was
    killed; the next one adopts them.
    """
    if directory.is_supervised():
        return True
    before, report = directory.read_wanted(), directory.read_report()
    in_tmux = before is not None and before.mode == TMUX
    return in_tmux and report is not None and any(member.alive for member in report.members)


def _roles(
    project: Project, request: CrewRequest, remembered: Mapping[str, Any], running: bool
) -> tuple[str, ...]:
    """The roles of the crew; a running crew keeps those that it has."""
    usual = tuple(remembered.get("roles") or roles_of(project.config))
    roles = (*usual, *request.roles) if running else request.roles or usual
    return tuple(dict.fromkeys(roles))


def _plan(
    directory: CrewDirectory,
    machine: Machine,
    roles: Sequence[str],
    developers: int,
    there: WantedCrew | None,
    request: CrewRequest,
) -> CrewPlan:
    """The plan beside the members of `there`. Those that a person ended, or that were given up,
    are started again, as a new try.
    """
    report = directory.read_report()
    lost = {m.name for m in report.members if m.state in (GIVEN_UP, ENDED)} if report else set()
    known = {member.name: member for member in there.members} if there else {}
    running = tuple(member for name, member in known.items() if name not in lost)
    plan = plan_crew(machine, roles, developers, running=running, force=request.force)
    new = tuple(_next_try(member, known) for member in plan.new)
    return CrewPlan((*running, *new), new, plan.notices)


def _next_try(member: Member, known: Mapping[str, Member]) -> Member:
    return replace(member, tries=known[member.name].tries + 1) if member.name in known else member


def _missing_tests(project: Project) -> tuple[str, ...]:
    """Said before a crew spends a day on work that it cannot merge."""
    try:
        approved_test_command(project)
    except Refused as refused:
        return (f"nothing can be merged yet: {refused}",)
    return ()


def _sessions(directory: CrewDirectory) -> Mapping[str, str]:
    report = directory.read_report()
    return dict(report.sessions) if report else {}


def _tmux_name(project: str) -> str:
    from octet.crew.tmux import session_name

    return session_name(project)


def start(octet: Octet, prepared: PreparedCrew, url: str = "") -> StartedCrew:
    """Have a supervisor start what is missing, and wait until the sessions have registered. Call it
    within `control.exclusive`.

    Args:
        url: the store's, if the command line named it.

    Raises:
        OctetError: no supervisor comes up; nothing is left of the attempt.
    """
    assert octet.project is not None
    directory = prepared.directory
    write_settings(octet.project, directory, prepared.wanted)
    try:
        directory.write_wanted(prepared.wanted)
        ensure_supervisor(directory, url)
        started = _await_registration(octet, directory, prepared.plan.new)
    except BaseException:
        _take_back(prepared)
        raise
    for agents in agents_of(octet.agents.list(), started.report.members).values():
        for agent in agents:  # an `octet down` that was killed may have paused it
            octet.work_states.lift(agent, CREW_DOWN)
    return started


def _take_back(prepared: PreparedCrew) -> None:
    """Restore the crew as it was: a running one keeps its members; of a new one none stays."""
    directory, before = prepared.directory, prepared.before
    if prepared.running and before:
        directory.write_wanted(before)
        notify_supervisor(directory)
        return
    directory.write_wanted(replace(prepared.wanted, members=(), hurry=True))
    notify_supervisor(directory)
    await_end(directory)
    remove_run_files(directory)
    directory.write_wanted(replace(before, members=()) if before else None)


def write_settings(project: Project, directory: CrewDirectory, wanted: WantedCrew) -> None:
    """Write what the members of each role get: their settings, the answer of their permission hook,
    and a directory for notes.
    """
    top = Path(wanted.scratch)
    if top.is_symlink():  # planted: its target is not ours to change
        raise UsageError(f"{top} is a symbolic link that Octet did not make: remove it")
    dirs.make_private(top)
    for role in {member.role for member in wanted.members}:
        scratch, answer = top / role, directory.denial(role)
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = client.member_settings(project, role, scratch, answer)
        replace_file(answer, json.dumps(client.denial(role, scratch)).encode(), 0o600)
        replace_file(directory.settings(role), json.dumps(settings, indent=1).encode(), 0o600)


def _await_registration(
    octet: Octet, directory: CrewDirectory, members: Sequence[Member]
) -> StartedCrew:
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
            agents = _first_agents(octet, new)
            settled = [one for one in new if one.name in agents or one.state in (GIVEN_UP, ENDED)]
            if len(settled) == len(wanted) or time.monotonic() > end:
                return StartedCrew(report, new, agents)
        time.sleep(POLL_S)


def _first_agents(octet: Octet, members: Sequence[MemberReport]) -> Mapping[str, str]:
    found = agents_of(octet.agents.list(), members)
    return {name: agents[0].id for name, agents in found.items() if agents}


def shown_command(directory: CrewDirectory, wanted: WantedCrew, role: str) -> list[str]:
    """The command of a role's sessions, for people; without the id of a conversation."""
    options = client.session_options(
        role,
        plugin=wanted.plugin,
        drop_in=wanted.drop_in,
        settings=directory.settings(role),
        scratch=Path(wanted.scratch) / role,
    )
    streams = ["-p", *client.STREAMS] if wanted.mode == HEADLESS else []
    return [wanted.claude, *streams, *options]
