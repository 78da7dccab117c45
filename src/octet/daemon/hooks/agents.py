"""Which agent an event comes from. A new one is registered, one that ends is removed."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from octet.base.errors import NotFound
from octet.base.process import ProcessIdentity, identify, is_alive
from octet.base.vocabulary import GUEST, ROLES
from octet.client.api import Octet
from octet.core.agents import identity
from octet.core.agents.registry import Agent, Joined, Registration
from octet.core.agents.work_states import LEFT
from octet.daemon.hooks.call import HookCall
from octet.daemon.liveness.heartbeat import Heartbeat
from octet.daemon.liveness.rescuer import LEAVE_S
from octet.daemon.liveness.round import local_process
from octet.daemon.projects.sessions import ProjectKey, ProjectSession
from octet.guard.payload import Event
from octet.project.repository import current_branch, find_worktree

CacheKey = tuple[ProjectKey, int, str]


class SessionAgents:
    """The agents of the sessions whose hooks call; thread-safe. The store decides; the cache only
    saves a round trip.
    """

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._cache: dict[CacheKey, Agent] = {}
        self._lock = threading.Lock()

    def find(self, call: HookCall[Event]) -> Agent | None:
        """The agent of a call, as the store has it; None when it is not registered."""
        process = identify(call.pid)
        if not process:
            return None
        return call.octet.agents.find(identity.process_key(process, call.event.agent_id))

    def find_or_register(self, call: HookCall[Event]) -> Agent:
        """The agent of a call. A session that began before Octet did is registered as a guest."""
        return self.find(call) or self.register(call).agent

    def cached(self, call: HookCall[Event]) -> Agent:
        """Like `find_or_register`, from memory where possible. The result may be out of date: the
        store refuses an agent that no longer exists.
        """
        return self.from_memory(call) or self._remember(call, self.find_or_register(call))

    def from_memory(self, call: HookCall[Event]) -> Agent | None:
        """The agent of a call if this process knows it; never asks the store."""
        with self._lock:
            return self._cache.get(_cache_key(call))

    def register(self, call: HookCall[Event]) -> Joined:
        """Register the agent of a call, or update its directory and branch."""
        octet = call.octet
        process = identify(call.pid)
        name = octet.agents.name_of_session(call.session_key)
        self._expire_predecessor(octet, name)
        wanted = _registration(call, process)
        if process:
            wanted = _as_before(octet, wanted, name)
        if call.event.agent_id:
            wanted = replace(wanted, parent=self.find_or_register(call.of_session()).id)
        joined = octet.agents.register(wanted)
        self._remember(call, joined.agent)
        return joined

    def forget(self, project: ProjectSession, agent: Agent) -> None:
        """The agent has left, has expired, or has another name now."""
        with self._lock:
            for key in [
                key
                for key, known in self._cache.items()
                if key[0] == project.key and known.id == agent.id
            ]:
                del self._cache[key]

    def leave(self, project: ProjectSession, agent: Agent) -> None:
        """Remove an agent from the registry, a session together with its sub-agents."""
        for other in project.connected().agents.list():
            if other.parent == agent.id:
                self._remove(project, other)
        self._remove(project, agent)

    def _remove(self, project: ProjectSession, agent: Agent) -> None:
        octet = project.connected()
        self.forget(project, agent)
        self._heartbeat.rescuer.save(octet, agent, LEAVE_S)
        octet.agents.leave(agent)

    def _remember(self, call: HookCall[Event], agent: Agent) -> Agent:
        with self._lock:
            self._cache[_cache_key(call)] = agent
        self._heartbeat.watch(agent)
        return agent

    def _expire_predecessor(self, octet: Octet, name: str) -> None:
        """Free the name of a session that is resumed right after its process was killed: its mail
        is under that name. At any event, because its SessionStart hook may have been killed too.
        """
        if not name:
            return
        try:
            before = octet.agents.get(name)
        except NotFound:
            return
        process = local_process(before)
        if process and not is_alive(process):
            self._heartbeat.rescuer.save(octet, before, LEAVE_S)
            octet.agents.expire(before)


def role_of(agent_type: str) -> str:
    """`octet:developer` (plugin) or `developer` (drop-in) → developer; anything else is a guest."""
    role = agent_type.removeprefix("octet:")
    return role if role in ROLES else GUEST


def _registration(call: HookCall[Event], process: ProcessIdentity | None) -> Registration:
    event = call.event
    worktree = find_worktree(event.cwd)
    linked = worktree if worktree and not worktree.is_main else None
    return Registration(
        role=role_of(event.agent_type),
        kind="subagent" if event.agent_id else "session",
        process=identity.process_key(process, event.agent_id) if process else "",
        # An event that outlived its client must not take the session's name, and the mail under
        # it, from the client that resumes the session.
        session=call.session_key if process else "",
        host=process.host if process else "",
        pid=process.pid if process else 0,
        cwd=event.cwd,
        worktree=str(linked.path) if linked else "",
        branch=(current_branch(worktree) or "") if worktree else "",
    )


def _as_before(octet: Octet, wanted: Registration, name: str) -> Registration:
    """Add what no event tells: a role taken by command or held before a resume, and what commands
    recorded. `name` is the session's last agent, "" for a new session.
    """
    if known := octet.agents.find(wanted.process):
        kept = replace(wanted, capabilities=known.capabilities, formerly=known.formerly)
        if not wanted.worktree and known.worktree and Path(known.worktree, ".git").exists():
            return replace(kept, worktree=known.worktree, branch=known.branch)
        return kept
    if wanted.role != GUEST or wanted.kind != "session":
        return wanted
    expiry = octet.agents.expiry(wanted.process)
    return replace(wanted, role=expiry.agent.role if expiry else _role_of_name(octet, name))


def _role_of_name(octet: Octet, name: str) -> str:
    """The role in an agent's name; guest where the agent has left that role."""
    role = role_of(name.rpartition("-")[0])
    return GUEST if role == GUEST or octet.work_states.get(name).paused == LEFT else role


def _cache_key(call: HookCall[Event]) -> CacheKey:
    return call.project.key, call.pid, call.session_key
