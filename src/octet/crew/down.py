"""`octet down`: pause the crew, end each session once it holds nothing, and release what is held
too long, with its work kept.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from octet.base.errors import AgentGone, NotFound, OctetError
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.agents.work_states import CREW_DOWN
from octet.core.tasks.record import Task
from octet.crew.control import (
    await_end,
    ensure_supervisor,
    notify_supervisor,
    remove_run_files,
)
from octet.crew.record import TMUX, UP, CrewDirectory, WantedCrew, agents_of, without
from octet.git.program import Git
from octet.git.snapshot import take_snapshot
from octet.project.repository import Project
from octet.worktree.inventory import WorktreeStatus, take_inventory
from octet.worktree.ownership import claim_worktrees, list_linked_worktrees
from octet.worktree.removal import remove_worktree
from octet.worktree.repository import base_branch
from octet.worktree.rescue import record_rescue, rescue_claims, rescue_held_task

log = logging.getLogger("octet.crew")

POLL_S = 0.25
SAY_EVERY_S = 15.0
# Between two turns a session may still wait for a background command of its own.
IDLE_MS = 15_000
PAUSED = "its crew is going down"
RELEASED = "handed over: its session ended by `octet down`"

Say = Callable[[str], None]


@dataclass
class EndedCrew:
    """The result of `end_crew`."""

    members: list[str] = field(default_factory=list)
    released: dict[str, str] = field(default_factory=dict)  # task → the agent that held it
    removed: list[str] = field(default_factory=list)  # paths of worktrees
    kept: list[WorktreeStatus] = field(default_factory=list)  # worktrees with work in them


def end_crew(
    octet: Octet, directory: CrewDirectory, wanted: WantedCrew, timeout_s: float, say: Say
) -> EndedCrew:
    """End the crew. Call it within `control.exclusive`.

    Args:
        timeout_s: how long agents that hold a task may take to finish it; 0 releases it at once.
        say: receives a line for people while it waits.

    Raises:
        OctetError: a process does not end.
    """
    ended = EndedCrew([member.name for member in wanted.members])
    left = _with_supervisor(directory, wanted)
    paused: dict[str, Agent] = {}
    with _resumed_on_failure(octet, paused):
        end = time.monotonic() + timeout_s
        left = _end_free_members(octet, directory, left, paused, end, say)
    held = _release_tasks(octet, left, paused, ended)
    directory.write_wanted(replace(left, members=(), hurry=bool(left.members)))
    notify_supervisor(directory)
    await_end(directory)
    if (report := directory.read_report()) and any(member.alive for member in report.members):
        # The supervisor was killed as this began; its successor ends the members that it left.
        ensure_supervisor(directory)
        await_end(directory)
    _keep_last_changes(octet, held)
    for agent in paused.values():
        _deregister(octet, agent)
    remove_run_files(directory)
    _remove_worktrees(octet, ended)
    return ended


def _with_supervisor(directory: CrewDirectory, wanted: WantedCrew) -> WantedCrew:
    """The crew under a supervisor. If the supervisor was killed, only windows in tmux have outlived
    it; all other members end by themselves.
    """
    if directory.is_supervised():
        return wanted
    report = directory.read_report()
    alive: set[str] = set()
    if report and wanted.mode == TMUX:
        alive = {member.name for member in report.members if member.alive}
    left = without(wanted, {member.name for member in wanted.members} - alive)
    directory.write_wanted(left)
    ensure_supervisor(directory)
    return left


@contextmanager
def _resumed_on_failure(octet: Octet, paused: Mapping[str, Agent]) -> Iterator[None]:
    """Lift the pause again if the body is interrupted: the remaining agents take work as before."""
    try:
        yield
    except BaseException:
        for agent in paused.values():
            octet.work_states.lift(agent, CREW_DOWN)
        raise


def _end_free_members(
    octet: Octet,
    directory: CrewDirectory,
    left: WantedCrew,
    paused: dict[str, Agent],
    end: float,
    say: Say,
) -> WantedCrew:
    """End each member when it holds nothing; return the members left when the time is over, or when
    all of them idle over what they hold.
    """
    said = 0.0
    while True:
        agents = _pause(octet, directory, paused)
        held = {name: tasks for name, found in agents.items() if (tasks := _held(octet, found))}
        left = _end_members(directory, left, {m.name for m in left.members} - held.keys())
        now = time.monotonic()
        if not left.members or now >= end:
            return left
        if _all_idle(octet, [agent for name in held for agent in agents[name]]):
            return left
        if now >= said + SAY_EVERY_S:
            said = now
            say(_waiting_line(held))
        time.sleep(POLL_S)


def _pause(
    octet: Octet, directory: CrewDirectory, paused: dict[str, Agent]
) -> Mapping[str, list[Agent]]:
    """Pause the agents that have joined since the last call (the supervisor still restarts members
    that fail); return all agents by member.
    """
    found = _agents(octet, directory)
    for agent in (agent for agents in found.values() for agent in agents):
        known = paused.get(agent.id)
        if known and known.incarnation == agent.incarnation:
            continue
        paused[agent.id] = agent
        if not octet.work_states.get(agent.id).paused:  # else a person paused it, and ends that
            with suppress(AgentGone):
                octet.work_states.pause(agent, PAUSED, CREW_DOWN)
    return found


def _agents(octet: Octet, directory: CrewDirectory) -> Mapping[str, list[Agent]]:
    report = directory.read_report()
    up = [member for member in report.members if member.state == UP] if report else []
    return agents_of(octet.agents.list(), up)


def _held(octet: Octet, agents: Sequence[Agent]) -> list[Task]:
    return [task for agent in agents for task in octet.tasks.held_by(agent.id)]


def _end_members(directory: CrewDirectory, left: WantedCrew, names: set[str]) -> WantedCrew:
    if not names:
        return left
    left = without(left, names)
    directory.write_wanted(left)
    notify_supervisor(directory)
    return left


def _all_idle(octet: Octet, agents: Sequence[Agent]) -> bool:
    """Whether none of them has been in a turn for a while. Paused agents are not woken for the
    tasks that they hold, so waiting for these would be in vain.
    """
    latest_ms = octet.now_ms() - IDLE_MS
    states = octet.work_states.of([agent.id for agent in agents]).values()
    return all(0 < state.idle_ms <= latest_ms for state in states)


def _waiting_line(held: Mapping[str, Sequence[Task]]) -> str:
    parts = [
        f"{name} (task {', '.join(task.id for task in tasks)})" for name, tasks in held.items()
    ]
    return f"waiting for {', '.join(parts)}"


def _release_tasks(
    octet: Octet, left: WantedCrew, paused: Mapping[str, Agent], ended: EndedCrew
) -> list[tuple[Agent, Task]]:
    """Release the tasks that are still held, with the work so far. A later write under such a claim
    is refused as stale.
    """
    if not left.members:
        return []
    held = [(agent, task) for agent in paused.values() for task in octet.tasks.held_by(agent.id)]
    for agent, task in held:
        rescue_held_task(octet, task.id)
        try:
            octet.tasks.release(task.id, task.token, RELEASED)
        except OctetError as error:  # its claim has just ended
            log.info("%s keeps %s: %s", agent.id, task.id, error)
            continue
        ended.released[task.id] = agent.id
    return held


def _keep_last_changes(octet: Octet, held: Sequence[tuple[Agent, Task]]) -> None:
    """Keep what a session wrote between the release and its end, if it is not kept yet."""
    project = _project(octet)
    for agent, task in held:
        attempt = str(max(1, task.attempts))
        try:
            for worktree in claim_worktrees(project, agent, task):
                git, base = Git(worktree.path), base_branch(project)
                kept = take_snapshot(git, task.id, attempt, base=base)
                if kept and kept.ref:
                    record_rescue(octet, agent.id, task.id, kept)
        except OctetError as error:
            log.warning(
                "the last changes of %s on %s are only in its worktree: %s",
                agent.id,
                task.id,
                error,
            )


def _deregister(octet: Octet, agent: Agent) -> None:
    """Remove an agent that could not leave by itself, because it was killed."""
    with suppress(NotFound):
        there = octet.agents.get(agent.id)
        if there.process == agent.process:
            octet.work_states.lift(there, CREW_DOWN)  # it may come back under its name
            rescue_claims(octet, there, list(octet.tasks.held_by(there.id)))
            octet.agents.leave(there)


def _remove_worktrees(octet: Octet, ended: EndedCrew) -> None:
    """Remove the worktrees without an owner whose work is merged; list those with work in them."""
    project = _project(octet)
    trees = {str(tree.path): tree for tree in list_linked_worktrees(project)}
    for found in take_inventory(octet, project, sizes=False):
        if not found.ours or not found.stale:
            continue
        if found.changed or found.unmerged or found.broken:
            ended.kept.append(found)
            continue
        try:
            remove_worktree(octet, trees[found.path], by=None)
        except OctetError as error:
            log.warning("%s stays: %s", found.path, error)
            ended.kept.append(found)
        else:
            ended.removed.append(found.path)


def _project(octet: Octet) -> Project:
    assert octet.project is not None
    return octet.project
