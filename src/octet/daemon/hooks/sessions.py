"""Which agent an event comes from; registers it where it is new, takes it off where it ends."""

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
from octet.daemon.liveness.heartbeat import Heartbeat, local_process
from octet.daemon.liveness.rescuer import LEAVE_S
from octet.daemon.projects.sessions import ProjectSession
from octet.guard.payload import Event
from octet.project.repository import current_branch, find_worktree


class Sessions:
    """Agents by the process and session that their events name. The cache only saves a round trip;
    the store decides.
    """

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._known: dict[tuple[str, str, str], Agent] = {}
        self._lock = threading.Lock()

    def agent(self, project: ProjectSession, event: Event, pid: int) -> Agent:
        """The agent that an event comes from. One that is not registered (its session began before
        Octet did) is, as a guest.
        """
        return self.registered(project, event, pid) or self.register(project, event, pid).agent

    def registered(self, project: ProjectSession, event: Event, pid: int) -> Agent | None:
        """The agent that an event comes from, if it is registered, as the store has it."""
        process = identify(pid)
        return (
            project.connected().agents.find(identity.process_key(process, event.agent_id))
            if process
            else None
        )

    def cached(self, project: ProjectSession, event: Event, pid: int) -> Agent:
        """Like `agent`, from memory where it is known: the store refuses an agent that is no more,
        so that this may be old.
        """
        with self._lock:
            agent = self._known.get(_cache_key(project, event, pid))
        return agent or self._remember(project, event, pid, self.agent(project, event, pid))

    def known(self, project: ProjectSession, event: Event, pid: int) -> Agent | None:
        """The agent that an event comes from, from memory alone."""
        with self._lock:
            return self._known.get(_cache_key(project, event, pid))

    def register(self, project: ProjectSession, event: Event, pid: int) -> Joined:
        """Register the agent of an event, or find it registered, with its directory and branch as
        they are now.
        """
        octet = project.connected()
        process = identify(pid)
        name = octet.agents.name_of_session(_session_key(event))
        self._bury_predecessor(octet, name)
        wanted = _registration(event, process)
        if process:
            wanted = _as_before(octet, wanted, name)
        if event.agent_id:
            parent = self.agent(project, replace(event, agent_id="", agent_type=""), pid)
            wanted = replace(wanted, parent=parent.id)
        joined = octet.agents.register(wanted)
        self._remember(project, event, pid, joined.agent)
        return joined

    def _remember(self, project: ProjectSession, event: Event, pid: int, agent: Agent) -> Agent:
        with self._lock:
            self._known[_cache_key(project, event, pid)] = agent
        self._heartbeat.noticed(agent)
        return agent

    def forget(self, agent: Agent) -> None:
        """The agent has left, was buried, or has another name now."""
        with self._lock:
            for key in [key for key, known in self._known.items() if known.id == agent.id]:
                del self._known[key]

    def leave(self, project: ProjectSession, agent: Agent) -> None:
        """Take an agent off the registry, and with a session its sub-agents."""
        octet = project.connected()
        for other in octet.agents.list():
            if other.parent == agent.id:
                self._part(octet, other)
        self._part(octet, agent)

    def _part(self, octet: Octet, agent: Agent) -> None:
        self.forget(agent)
        self._heartbeat.rescuer.save(octet, agent, LEAVE_S)
        octet.agents.leave(agent)

    def _bury_predecessor(self, octet: Octet, name: str) -> None:
        """A session that is resumed right after its process was killed must find its name free, not
        taken by the dead.

        Whatever event it registers with: its SessionStart hook may have been killed too, and its
        mail is under that name.
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


def _registration(event: Event, process: ProcessIdentity | None) -> Registration:
    worktree = find_worktree(event.cwd)
    linked = worktree if worktree and not worktree.is_main else None
    return Registration(
        role=role_of(event.agent_type),
        kind="subagent" if event.agent_id else "session",
        process=identity.process_key(process, event.agent_id) if process else "",
        # An event that outlived its client must not take the session's name, and the mail under it,
        # from the client that resumes it.
        session=_session_key(event) if process else "",
        host=process.host if process else "",
        pid=process.pid if process else 0,
        cwd=event.cwd,
        worktree=str(linked.path) if linked else "",
        branch=(current_branch(worktree) or "") if worktree else "",
    )


def _as_before(octet: Octet, wanted: Registration, name: str) -> Registration:
    """With what no event tells: the role that it took by a command, or ran as before it was
    resumed, and what a command noted of it.

    `name` is who its session was last, "" for a new one.
    """
    if known := octet.agents.find(wanted.process):
        kept = replace(wanted, capabilities=known.capabilities, formerly=known.formerly)
        if not wanted.worktree and known.worktree and Path(known.worktree, ".git").exists():
            return replace(kept, worktree=known.worktree, branch=known.branch)
        return kept
    if wanted.role != GUEST or wanted.kind != "session":
        return wanted
    burial = octet.agents.expiry(wanted.process)
    return replace(wanted, role=burial.agent.role if burial else _role_of_name(octet, name))


def _role_of_name(octet: Octet, name: str) -> str:
    """The role of the agent of that name, which has none where it has left it."""
    role = role_of(name.rpartition("-")[0])
    return GUEST if role == GUEST or octet.work_states.get(name).paused == LEFT else role


def _session_key(event: Event) -> str:
    return f"{event.session_id}#{event.agent_id}" if event.agent_id else event.session_id


def _cache_key(project: ProjectSession, event: Event, pid: int) -> tuple[str, str, str]:
    return (project.name, project.url or "", f"{pid}:{_session_key(event)}")
