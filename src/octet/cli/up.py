"""`octet up` and `octet down`"""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from octet.base.errors import Refused, UsageError
from octet.base.text import plain
from octet.base.vocabulary import ORCHESTRATOR, PLAN, ROLES
from octet.cli._common.caller import by_an_agent, caller
from octet.cli._common.context import given_url, opened, project_of
from octet.cli._common.durations import Duration
from octet.cli._common.output import emit, json_option
from octet.client.api import Octet
from octet.core.tasks.plans import MAX_TEXT
from octet.core.tasks.record import Task
from octet.crew.client import denial, member_settings
from octet.crew.control import exclusive
from octet.crew.down import EndedCrew, end_crew
from octet.crew.record import GIVEN_UP, TMUX, CrewDirectory, CrewReport, MemberReport, agents_of
from octet.crew.up import CrewRequest, PreparedCrew, StartedCrew, prepare, shown_command, start
from octet.project.config import MAX_DEVELOPERS

MOST_HEADLINE = 120


@click.command("up")
@click.option(
    "--developers",
    type=click.IntRange(1, MAX_DEVELOPERS),
    help="Number of developers; default: [crew] in octet.toml, else 2.",
)
@click.option(
    "--headless",
    is_flag=True,
    help="Without terminals; the output of the sessions goes to log files.",
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(ROLES),
    help="A session of this role (repeat); default: one of each needed.",
)
@click.option(
    "--feature",
    metavar="TEXT",
    help="What to build, for the orchestrator; `-` reads standard input.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Start all that were asked for, even if it overloads this machine.",
)
@click.option(
    "--dry-run", is_flag=True, help="Only show the sessions to start, and their permissions."
)
@json_option
def up_command(
    developers: int | None,
    headless: bool,
    roles: tuple[str, ...],
    feature: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Start the crew of this repository, a session of Claude Code for each role, or what is missing
    of it.

    It outlives the terminal. `octet status` shows it, `octet down` ends it.
    """
    text = _read_feature(feature)
    with opened() as octet:
        project_of(octet)
        asked = CrewRequest(developers, roles, headless, force)
        if dry_run:
            prepared = prepare(octet, asked)
            emit(_plan_data(octet, prepared), _plan_text(octet, prepared), as_json)
            return
        with exclusive(CrewDirectory.of(octet.name)):
            prepared = prepare(octet, asked)
            if text and not any(member.role == ORCHESTRATOR for member in prepared.wanted.members):
                raise UsageError(
                    "a feature needs an orchestrator, and the crew has none: add --role "
                    "orchestrator"
                )
            task = _add_feature(octet, text) if text else None
            try:
                started = start(octet, prepared, given_url())
            except BaseException:
                if task:
                    octet.tasks.cancel(task.id, "the crew was not started")
                raise
    emit(_started_data(prepared, started, task), _started_text(prepared, started, task), as_json)


@click.command("down")
@click.option("--now", is_flag=True, help="Release tasks in work at once, with the work so far.")
@click.option(
    "--timeout",
    "timeout_s",
    type=Duration(),
    default="5m",
    show_default=True,
    help="How long to wait for tasks in work.",
)
@json_option
def down_command(now: bool, timeout_s: float, as_json: bool) -> None:
    """End the crew: each session finishes its tasks, or releases them, and ends. `octet up` goes on
    where it was.
    """
    with opened() as octet:
        project_of(octet)
        directory = CrewDirectory.of(octet.name)
        with exclusive(directory):
            wanted, report = directory.read_wanted(), directory.read_report()
            if wanted is None or not (wanted.members or directory.is_supervised()):
                emit({"ended": []}, "no crew is up", as_json)
                return
            _refuse_members(octet, report)
            say = (lambda _line: None) if as_json else (lambda line: click.echo(plain(line, 500)))
            ended = end_crew(octet, directory, wanted, 0.0 if now else timeout_s, say)
    emit(_ended_data(ended), _ended_text(ended), as_json)


def _read_feature(feature: str | None) -> str:
    """The feature's text, "" for none.

    Raises:
        UsageError: it is empty, or too long.
    """
    if feature is None:
        return ""
    text = (sys.stdin.read(MAX_TEXT + 1) if feature == "-" else feature).strip()
    if not text or len(text) > MAX_TEXT:
        raise UsageError(
            f"a feature is a text of 1 to {MAX_TEXT} characters: put a longer one into a file of "
            "the repository, and name the file"
        )
    return text


def _add_feature(octet: Octet, text: str) -> Task:
    """Add a task of the plan stage, which an orchestrator claims."""
    headline = plain(text.splitlines()[0], MOST_HEADLINE)
    return octet.tasks.add(headline, description=text, stage=PLAN, created_by=caller(octet).id)


def _refuse_members(octet: Octet, report: CrewReport | None) -> None:
    """Check the caller: a member that ends its crew would wait for itself.

    Raises:
        Refused: the caller is a member.
    """
    if not by_an_agent() or report is None:
        return
    me = caller(octet)
    if any(
        agent.id == me.id for agents in agents_of([me], report.members).values() for agent in agents
    ):
        raise Refused(f"{me.id} is a member of this crew: only a person can end it, in a terminal")


def _plan_text(octet: Octet, prepared: PreparedCrew) -> str:
    wanted, new = prepared.wanted, prepared.plan.new
    running = [member.name for member in wanted.members if member not in new]
    where = f"in the tmux session {wanted.tmux}" if wanted.mode == TMUX else "without terminals"
    lines = (
        [
            f"would start {len(new)} session{'s' if len(new) != 1 else ''} of Claude Code "
            f"{wanted.version} {where}:"
        ]
        if new
        else []
    )
    lines += [f"  {member.name}" for member in new]
    lines += [f"up already: {', '.join(running)}"] if running else []
    lines += prepared.plan.notices
    for role in dict.fromkeys(member.role for member in new):
        settings = json.dumps(_settings(octet, prepared, role))
        lines += [
            f"{role}:",
            f"  {shlex.join(shown_command(prepared.directory, wanted, role))}",
            f"  settings: {settings}",
        ]
    return "\n".join(lines)


def _plan_data(octet: Octet, prepared: PreparedCrew) -> dict[str, Any]:
    roles = dict.fromkeys(member.role for member in prepared.plan.new)
    return {
        "mode": prepared.wanted.mode,
        "tmux": prepared.wanted.tmux,
        "machine": asdict(prepared.machine),
        "new": [member.name for member in prepared.plan.new],
        "members": [member.name for member in prepared.wanted.members],
        "notices": prepared.plan.notices,
        "commands": {
            role: shown_command(prepared.directory, prepared.wanted, role) for role in roles
        },
        "settings": {role: _settings(octet, prepared, role) for role in roles},
        "denial": {role: denial(role, Path(prepared.wanted.scratch) / role) for role in roles},
    }


def _settings(octet: Octet, prepared: PreparedCrew, role: str) -> dict[str, Any]:
    answer = prepared.directory.denial(role)
    return member_settings(project_of(octet), role, Path(prepared.wanted.scratch) / role, answer)


def _started_text(prepared: PreparedCrew, started: StartedCrew, task: Task | None) -> str:
    wanted, new = prepared.wanted, started.new
    lines = [*prepared.plan.notices]
    if new:
        lines.append(f"up: {', '.join(sorted(started.agents.values())) or 'none yet'}")
    else:
        lines.append(f"the crew is up: {len(wanted.members)} sessions, nothing is missing")
    lines += [f"{one.name} {_why(prepared, one)}" for one in new if one.name not in started.agents]
    lines += [f"task {task.id} is the orchestrator's: {plain(task.title)}"] if task else []
    look = (
        f"`tmux attach -t {wanted.tmux}` shows them"
        if wanted.mode == TMUX
        else f"their logs: {prepared.directory.path}"
    )
    return "\n".join([*lines, f"{look}; `octet status` who does what; `octet down` ends them"])


def _why(prepared: PreparedCrew, one: MemberReport) -> str:
    if one.state == GIVEN_UP:
        return f"does not start: {plain(one.reason)}"
    place = (
        "its window"
        if prepared.wanted.mode == TMUX
        else f"{prepared.directory.path / one.name}.log"
    )
    return (
        f"has not registered yet ({plain(one.reason) or 'it may be asking something'}): look at "
        f"{place}"
    )


def _started_data(
    prepared: PreparedCrew, started: StartedCrew, task: Task | None
) -> dict[str, Any]:
    return {
        "mode": prepared.wanted.mode,
        "tmux": prepared.wanted.tmux,
        "started": [
            {**asdict(one), "agent": started.agents.get(one.name, "")} for one in started.new
        ],
        "members": [member.name for member in prepared.wanted.members],
        "notices": prepared.plan.notices,
        "task": task.id if task else None,
        "logs": str(prepared.directory.path),
    }


def _ended_text(ended: EndedCrew) -> str:
    lines = [f"ended: {', '.join(ended.members) or 'no member was left'}"]
    lines += [
        f"task {task} waits again, with the work of {agent} so far"
        for task, agent in ended.released.items()
    ]
    for tree in ended.kept:
        lines.append(
            f"kept {plain(tree.path)} ({plain(tree.state)}): its task goes on with it, or "
            f"`octet worktree remove {plain(tree.name)}`"
        )
    return "\n".join([*lines, "`octet up` goes on"])


def _ended_data(ended: EndedCrew) -> dict[str, Any]:
    return {
        "ended": ended.members,
        "given_back": ended.released,
        "removed": ended.removed,
        "kept": [asdict(tree) for tree in ended.kept],
    }
