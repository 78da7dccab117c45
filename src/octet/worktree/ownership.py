"""Which agent a worktree belongs to: a record in git's own directory of the worktree, which is
removed together with it, and the registry.

Octet's own worktrees have a record from their creation. Native ones (`claude -w`, `isolation:
worktree`) have none; they are registered, because SessionStart and SubagentStart name them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from octet.base.files import read_file, replace_file
from octet.base.process import host_id, identify
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task
from octet.git.program import Git
from octet.git.worktrees import ListedWorktree, list_worktrees
from octet.project.repository import Project, Worktree, find_worktree

RECORD = "octet.json"
_LOCKER = re.compile(r"\(pid (?P<pid>[0-9]{1,10})(?: start (?P<start>[0-9]{1,20}))?\)")


@dataclass(frozen=True)
class Ownership:
    """The task, attempt and agent of a worktree; `set_up`: its set-up command has run."""

    task: str
    attempt: int
    agent: str
    set_up: bool = False


def read_ownership(worktree: Worktree | None) -> Ownership | None:
    """The record of a worktree; None if there is none or it is unreadable."""
    if worktree is None:
        return None
    try:
        record = json.loads(read_file(worktree.git_dir / RECORD) or b"null")
        return Ownership(
            str(record["task"]),
            int(record["attempt"]),
            str(record["agent"]),
            bool(record["set_up"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def write_ownership(worktree: Worktree, ownership: Ownership) -> None:
    """Record it.

    Raises:
        UsageError: git's directory is not writable.
    """
    record = json.dumps(asdict(ownership)) + "\n"
    replace_file(worktree.git_dir / RECORD, record.encode(), 0o644)


def find_linked_worktree(project: Project, path: str | Path) -> Worktree | None:
    """The linked worktree of this project whose top is `path`; None for anything else."""
    found = find_worktree(path) if str(path) else None
    if found is None or found.is_main or found.common_dir != project.common_dir:
        return None
    return found if found.path == Path(path).resolve() else None


def list_linked_worktrees(project: Project) -> list[ListedWorktree]:
    """The worktrees that git lists, without the main checkout."""
    if not project.common_dir:
        return []
    return [listed for listed in list_worktrees(Git(project.root))[1:] if not listed.bare]


def list_owned_worktrees(project: Project) -> Iterator[tuple[ListedWorktree, Worktree, Ownership]]:
    """The linked worktrees that have a record of their owner."""
    for listed in list_linked_worktrees(project):
        worktree = find_linked_worktree(project, listed.path)
        ownership = read_ownership(worktree)
        if worktree and ownership:
            yield listed, worktree, ownership


def claim_worktrees(project: Project, agent: Agent, task: Task) -> list[Worktree]:
    """Where an agent has worked on a task: first the worktree that it is registered with, then
    those recorded for both.
    """
    found: dict[Path, Worktree] = {}
    if agent.worktree and is_this_host(agent.host):
        registered = find_linked_worktree(project, agent.worktree)
        if registered:
            found[registered.path] = registered
    for _, worktree, ownership in list_owned_worktrees(project):
        if (ownership.agent, ownership.task) == (agent.id, task.id):
            found[worktree.path] = worktree
    return list(found.values())


def find_owner(agents: Sequence[Agent], path: Path, ownership: Ownership | None) -> Agent | None:
    """The living agent that owns the worktree: registered with it, or recorded there and registered
    with no other.

    A script that only names itself (OCTET_AGENT) is registered anew, without a worktree, by each of
    its commands.
    """
    here = [agent for agent in agents if is_this_host(agent.host)]
    for agent in here:
        if agent.worktree == str(path):
            return agent
    for agent in here:
        if ownership and agent.id == ownership.agent and not agent.worktree:
            return agent
    return None


def is_lock_dead(reason: str) -> bool:
    """Whether the process that locked a worktree, as in `claude session NAME (pid N start S)`, has
    ended.
    """
    named = _LOCKER.search(reason)
    if named is None:
        return False
    process = identify(int(named["pid"]))
    # On Linux the start time is the kernel's own number, as ours is; elsewhere only the pid can be
    # compared.
    return process is None or (
        sys.platform == "linux" and bool(named["start"]) and process.start != int(named["start"])
    )


def is_this_host(host: str) -> bool:
    """Whether a host's id is this machine's, also from before its last boot; an agent without a
    process has none and counts as here.
    """
    return not host or host.rpartition("-")[0] == host_id().rpartition("-")[0]
