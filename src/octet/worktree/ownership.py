"""Whose a worktree is: a record in git's own directory of it, which goes with it, and what the
registry says.

Octet's own worktrees have a record from their creation. Native ones (`claude -w`, `isolation:
worktree`) have none; the registry knows them, because SessionStart and SubagentStart name them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from octet.base.files import read_file, replace_file
from octet.base.process import host_id, identify
from octet.core.agents.registry import Agent
from octet.core.tasks.tasks import Task
from octet.git.program import Git
from octet.git.worktrees import Worktree as Checkout
from octet.git.worktrees import list_worktrees
from octet.project.repository import Project, Worktree, find_worktree

RECORD = "octet.json"
_LOCKER = re.compile(r"\(pid (?P<pid>[0-9]{1,10})(?: start (?P<start>[0-9]{1,20}))?\)")


@dataclass(frozen=True)
class Tenancy:
    """For which task and attempt a worktree was made, and by which agent; `set_up` once its set-up
    command has run.
    """

    task: str
    attempt: int
    agent: str
    set_up: bool = False


def read_tenancy(git_dir: Path) -> Tenancy | None:
    """The record of a worktree, None where there is none that can be read."""
    try:
        record = json.loads(read_file(git_dir / RECORD) or b"null")
        return Tenancy(
            str(record["task"]),
            int(record["attempt"]),
            str(record["agent"]),
            bool(record["set_up"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def write_tenancy(git_dir: Path, tenancy: Tenancy) -> None:
    """Record it.

    Raises:
        UsageError: git's directory cannot be written.
    """
    replace_file(git_dir / RECORD, (json.dumps(asdict(tenancy)) + "\n").encode(), 0o644)


def linked_worktree(project: Project, path: str | Path) -> Worktree | None:
    """The linked worktree of this project whose top is `path`; None for anything else."""
    found = find_worktree(path) if str(path) else None
    if found is None or found.is_main or found.common_dir != project.common_dir:
        return None
    return found if found.path == Path(path).resolve() else None


def worktrees_of(project: Project, agent: Agent, task: Task) -> list[Worktree]:
    """Where an agent has worked on a task: the worktree it is registered with, then those recorded
    for both.
    """
    found: dict[Path, Worktree] = {}
    if (
        agent.worktree
        and is_here(agent.host)
        and (registered := linked_worktree(project, agent.worktree))
    ):
        found[registered.path] = registered
    for tree in linked_checkouts(project):
        worktree = linked_worktree(project, tree.path)
        tenancy = read_tenancy(worktree.git_dir) if worktree else None
        if worktree and tenancy and (tenancy.agent, tenancy.task) == (agent.id, task.id):
            found[worktree.path] = worktree
    return list(found.values())


def linked_checkouts(project: Project) -> list[Checkout]:
    """The worktrees that git knows, without the main checkout."""
    return (
        [tree for tree in list_worktrees(Git(project.root))[1:] if not tree.bare]
        if project.common_dir
        else []
    )


def owner_of(agents: Sequence[Agent], path: Path, tenancy: Tenancy | None) -> Agent | None:
    """The living agent whose worktree that is: registered with it, or recorded there and registered
    with no other.

    A script that only names itself (OCTET_AGENT) is registered anew by each of its commands,
    without a worktree.
    """
    here = [agent for agent in agents if is_here(agent.host)]
    registered = (agent for agent in here if agent.worktree == str(path))
    recorded = (
        agent for agent in here if tenancy and agent.id == tenancy.agent and not agent.worktree
    )
    return next(registered, None) or next(recorded, None)


def is_lock_dead(reason: str) -> bool:
    """Whether a worktree is locked by a process, as `claude session NAME (pid N start S)`, that
    runs no more.
    """
    named = _LOCKER.search(reason)
    if named is None:
        return False
    process = identify(int(named["pid"]))
    # The start time is the kernel's own number on Linux, as ours is; elsewhere the pid alone must
    # do.
    return process is None or (
        sys.platform == "linux" and bool(named["start"]) and process.start != int(named["start"])
    )


def is_here(host: str) -> bool:
    """Whether a host's id is this machine's, now or before it was started anew; an agent without a
    process has none.
    """
    return not host or host.rpartition("-")[0] == host_id().rpartition("-")[0]
