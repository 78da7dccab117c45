"""`octet down`: no new work; each session ends as soon as it holds nothing; what is held too long
goes back, with its work kept.
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
from octet.core.tasks.tasks import Task
from octet.crew.record import TMUX, UP, CrewDirectory, Wanted, agents_of, without
from octet.crew.up import await_end, clear, supervise, tell
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
TELL_EVERY_S = 15.0
# Between two turns a session may be waiting for something of its own that runs in the background.
IDLE_MS = 15_000
NOTE = "handed over: its session ended by `octet down`"

Say = Callable[[str], None]


@dataclass
class Farewell:
    """What came of it. `given_back`: task → who held it; `kept`: worktrees that stay, because there
    is work in them.
    """

    members: list[str] = field(default_factory=list)
    given_back: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    kept: list[WorktreeStatus] = field(default_factory=list)


def end_crew(
    octet: Octet, directory: CrewDirectory, wanted: Wanted, timeout_s: float, say: Say
) -> Farewell:
    """End the crew: call it within `crew_start.alone`.

    Args:
        timeout_s: how long those who hold a task may take to finish it; 0: no time at all.
        say: told who is waited for.

    Raises:
        OctetError: a process does not end.
    """
    farewell = Farewell([member.name for member in wanted.members])
    left = _revive(directory, wanted)
    known: dict[str, Agent] = {}
    with _paused(octet, directory, known):
        left = _let_finish(octet, directory, left, known, time.monotonic() + timeout_s, say)
    held = _give_back(octet, left, known, farewell)
    directory.write_wanted(replace(left, members=(), hurry=bool(left.members)))
    tell(directory)
    await_end(directory)
    if (report := directory.read_report()) and any(member.alive for member in report.members):
        supervise(directory)  # it was being killed as this began: its successor ends what it left
        await_end(directory)
    _keep_last_changes(octet, held)
    for agent in known.values():
        _dismiss(octet, agent)
    clear(directory)
    _tidy(octet, farewell)
    return farewell


def _revive(directory: CrewDirectory, wanted: Wanted) -> Wanted:
    """See that a supervisor lives. Where one was killed, only windows in tmux have outlived it; all
    others were to end by themselves.
    """
    if directory.is_supervised():
        return wanted
    report = directory.read_report()
    alive = (
        {one.name for one in report.members if one.alive}
        if report and wanted.mode == TMUX
        else set()
    )
    left = without(wanted, {member.name for member in wanted.members} - alive)
    directory.write_wanted(left)
    supervise(directory)
    return left


@contextmanager
def _paused(octet: Octet, directory: CrewDirectory, known: dict[str, Agent]) -> Iterator[None]:
    """The crew's agents take no new work meanwhile; where that is interrupted, those that are left
    do again.
    """
    _hold_back(octet, directory, known)
    try:
        yield
    except BaseException:
        for agent in known.values():
            octet.work_states.lift(agent, CREW_DOWN)
        raise


def _hold_back(
    octet: Octet, directory: CrewDirectory, known: dict[str, Agent]
) -> Mapping[str, list[Agent]]:
    """Pause whoever has come since the last call: a member that fell is started again even now.
    Returns all by member.
    """
    found = _agents(octet, directory)
    for agent in (agent for agents in found.values() for agent in agents):
        if agent.id in known and known[agent.id].incarnation == agent.incarnation:
            continue
        known[agent.id] = agent
        if not octet.work_states.get(agent.id).paused:  # by a person, who will end that
            with suppress(AgentGone):
                octet.work_states.pause(agent, "its crew is going down", CREW_DOWN)
    return found


def _let_finish(
    octet: Octet,
    directory: CrewDirectory,
    left: Wanted,
    known: dict[str, Agent],
    end: float,
    say: Say,
) -> Wanted:
    """End each member when it holds nothing; who is left when the time is over, or when all of them
    idle over what they hold.
    """
    told = 0.0
    while left.members:
        agents = _hold_back(octet, directory, known)
        busy = {name: tasks for name, found in agents.items() if (tasks := _held(octet, found))}
        left = _drop(directory, left, {member.name for member in left.members} - busy.keys())
        now = time.monotonic()
        if (
            now >= end
            or not left.members
            or _all_idle(octet, [agent for name in busy for agent in agents[name]])
        ):
            return left
        if now >= told + TELL_EVERY_S:
            told = now
            say(
                "waiting for "
                + ", ".join(
                    f"{name} (task {', '.join(task.id for task in tasks)})"
                    for name, tasks in busy.items()
                )
            )
        time.sleep(POLL_S)
    return left


def _all_idle(octet: Octet, agents: Sequence[Agent]) -> bool:
    """Whether none of them has been in a turn for a while: paused, they are woken for nothing that
    they hold.
    """
    now_ms = octet.now_ms()
    return all(
        0 < one.idle_ms <= now_ms - IDLE_MS
        for one in octet.work_states.of([agent.id for agent in agents]).values()
    )


def _drop(directory: CrewDirectory, left: Wanted, names: set[str]) -> Wanted:
    if not names:
        return left
    left = without(left, names)
    directory.write_wanted(left)
    tell(directory)
    return left


def _agents(octet: Octet, directory: CrewDirectory) -> Mapping[str, list[Agent]]:
    report = directory.read_report()
    up = [one for one in report.members if one.state == UP] if report else []
    return agents_of(octet.agents.list(), up)


def _held(octet: Octet, agents: Sequence[Agent]) -> list[Task]:
    return [task for agent in agents for task in octet.tasks.held_by(agent.id)]


def _give_back(
    octet: Octet, left: Wanted, known: Mapping[str, Agent], farewell: Farewell
) -> list[tuple[Agent, Task]]:
    """Hand over what is still held, with the work so far; a later write under the claim is refused
    as stale.
    """
    if not left.members:
        return []
    held = [(agent, task) for agent in known.values() for task in octet.tasks.held_by(agent.id)]
    for agent, task in held:
        rescue_held_task(octet, task.id)
        try:
            octet.tasks.release(task.id, task.token, NOTE)
        except OctetError as error:  # it has just passed on
            log.info("%s keeps %s: %s", agent.id, task.id, error)
            continue
        farewell.given_back[task.id] = agent.id
    return held


def _keep_last_changes(octet: Octet, held: Sequence[tuple[Agent, Task]]) -> None:
    """What a session still wrote between the hand-over and its end; the same work is not kept
    twice.
    """
    for agent, task in held:
        try:
            for worktree in claim_worktrees(_project(octet), agent, task):
                kept = take_snapshot(
                    Git(worktree.path),
                    task.id,
                    str(max(1, task.attempts)),
                    base=base_branch(_project(octet)),
                )
                if kept and kept.ref:
                    record_rescue(octet, agent.id, task.id, kept)
        except OctetError as error:
            log.warning(
                "the last changes of %s on %s are only in its worktree: %s",
                agent.id,
                task.id,
                error,
            )


def _dismiss(octet: Octet, agent: Agent) -> None:
    """Take an agent off that has not done so itself, because it was killed."""
    with suppress(NotFound):
        there = octet.agents.get(agent.id)
        if there.process == agent.process:
            octet.work_states.lift(there, CREW_DOWN)  # it may come back under its name
            rescue_claims(octet, there, list(octet.tasks.held_by(there.id)))
            octet.agents.leave(there)


def _tidy(octet: Octet, farewell: Farewell) -> None:
    """Remove the worktrees that nobody has any more and in which all is merged; those with work in
    them are named.
    """
    project = _project(octet)
    trees = {str(tree.path): tree for tree in list_linked_worktrees(project)}
    for found in take_inventory(octet, project, sizes=False):
        if not found.ours or not found.stale:
            continue
        if found.changed or found.unmerged or found.broken:
            farewell.kept.append(found)
            continue
        try:
            remove_worktree(octet, trees[found.path], by=None)
        except OctetError as error:
            log.warning("%s stays: %s", found.path, error)
            farewell.kept.append(found)
        else:
            farewell.removed.append(found.path)


def _project(octet: Octet) -> Project:
    assert octet.project is not None
    return octet.project
