"""Git's own hooks ask here: who moves this ref, and may they? Agents are held to the locks, people
are only told.

The caller is found from the processes above git: the nearest that is a registered agent's. An
agent's environment may lie, its ancestry does not; so CLAUDE_PID and OCTET_AGENT count only where
no ancestor is registered. Git cannot tell a session from its sub-agents, which share its process:
what one of these holds, the process holds.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from octet.base.errors import NotFound, NotTrusted, OctetError, StoreUnreachable
from octet.base.process import ancestors, is_alive
from octet.base.text import plain
from octet.client.api import Octet
from octet.core.agents.identity import claude_process, current_agent
from octet.core.agents.registry import Agent
from octet.core.locks.locks import Lock
from octet.daemon.hooks import permission
from octet.daemon.hooks.failure import failure_reply
from octet.daemon.liveness.round import local_process
from octet.daemon.projects.sessions import Projects, ProjectSession
from octet.daemon.protocol.wire import Reply, Request
from octet.fence import attempt as fence
from octet.fence.attempt import EVENT, Attempt
from octet.guard import policy

__all__ = ["EVENT", "answer_fence"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GitCaller:
    """The agents of the process that runs git, its session first."""

    family: tuple[Agent, ...]
    named: str = ""  # the agent that OCTET_AGENT names

    @property
    def names(self) -> frozenset[str]:
        return frozenset(agent.id for agent in self.family)

    def judged(self, locks: Sequence[Lock]) -> Agent:
        """The agent that is judged: the named one, else the holder of what is asked for, else the
        session.
        """
        by_name = {agent.id: agent for agent in self.family}
        chosen = [self.named, *(lock.holder for lock in locks)]
        return next((by_name[name] for name in chosen if name in by_name), self.family[0])


def answer_fence(projects: Projects, request: Request) -> Reply:
    """The reply to one of git's hooks; no input and no state of the store makes it raise."""
    try:
        attempt = fence.parse(request.payload)
        project = projects.find(request.root, request.redis_url)
        if not project.trusted.approved:
            return Reply()  # `octet init --undo` since the hook looked
        return Reply(*fence.render(_judge(project, attempt)))
    except (StoreUnreachable, NotTrusted) as error:
        if isinstance(error, StoreUnreachable):
            project.mark_down(error)
        log.warning("%s: %s", request.root, error)
        return failure_reply(request, str(error))
    except OctetError as error:
        return failure_reply(request, f"Octet: {error}")


def _judge(project: ProjectSession, attempt: Attempt) -> policy.Verdict:
    octet, repository = project.connected(), project.repository
    needs = fence.fence_needs(attempt, repository)
    locks = _locks(octet, needs.resources)
    caller = _find_caller(octet, attempt)
    if attempt.token and needs.resources and (verdict := _check_token(attempt.token, needs, locks)):
        return verdict
    if caller is None:
        return _tell_person(needs, locks)
    if (elsewhere := _check_worktree(project, attempt, caller)).decision != "pass":
        return elsewhere
    if not needs.resources:
        return elsewhere
    agent = caller.judged(locks)
    answer = permission.acquire(octet, agent, needs.resources)
    return policy.judge(needs, answer, repository, agent.id)


def _locks(octet: Octet, resources: Sequence[str]) -> list[Lock]:
    found = []
    for resource in resources:
        try:
            found.append(octet.locks.get(resource))
        except NotFound:
            continue
    return found


def _check_token(token: str, needs: policy.Needs, locks: Sequence[Lock]) -> policy.Verdict | None:
    """A refusal for a token that is no longer its lock's, for people too: a program that shows a
    token asks to be stopped by it.
    """
    current = {lock.resource: lock for lock in locks}
    for resource in needs.resources:
        lock = current.get(resource)
        if lock and lock.token == token:
            continue
        now = f"{plain(lock.holder, 80)} holds it now" if lock else "it is free now"
        return policy.Verdict(
            "deny",
            f"Octet: the lock on {needs.names[resource]} with token {plain(token, 40)} is lost "
            f"({now}): take the lock again, then repeat this.",
        )
    return None


def _tell_person(needs: policy.Needs, locks: Sequence[Lock]) -> policy.Verdict:
    """A person is not stopped, but told what an agent is doing there."""
    held = [f"{plain(lock.holder, 80)} holds {needs.names[lock.resource]}" for lock in locks]
    if not held:
        return policy.Verdict()
    return policy.Verdict(
        notice=f"Octet: {', '.join(held)}. A merge may be running; your push goes ahead and the "
        "merge will start again."
    )


def _check_worktree(project: ProjectSession, attempt: Attempt, caller: GitCaller) -> policy.Verdict:
    """A denial in another agent's worktree, by the lock that every write there needs. No lock is
    taken: git's worktrees come and go.
    """
    octet, needs = project.connected(), fence.worktree_needs(attempt, project.repository)
    for lock in _locks(octet, needs.resources):
        if lock.holder not in caller.names:
            answer = permission.answer_held(octet, permission.as_held(lock))
            return policy.judge(needs, answer, project.repository)
    return policy.Verdict()


def _find_caller(octet: Octet, attempt: Attempt) -> GitCaller | None:
    """The agents behind an attempt; None for a person."""
    agents = [
        (agent, process) for agent in octet.agents.list() if (process := local_process(agent))
    ]
    for pid in (attempt.pid, *ancestors(attempt.pid)):
        if family := [
            agent for agent, process in agents if process.pid == pid and is_alive(process)
        ]:
            return _caller(family, attempt)
    environ = {
        "CLAUDE_PID": str(attempt.claude_pid),
        "OCTET_AGENT": attempt.agent,
        "OCTET_ROLE": attempt.role,
    }
    process = claude_process(environ)
    if not process and not attempt.agent:
        return None
    named = current_agent(octet.agents, environ)
    family = [agent for agent, known in agents if known == process and named.process]
    return _caller(family or [named], attempt)


def _caller(family: Sequence[Agent], attempt: Attempt) -> GitCaller:
    return GitCaller(tuple(sorted(family, key=lambda agent: "#" in agent.process)), attempt.agent)
