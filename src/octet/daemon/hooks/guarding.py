"""The guard of tool calls: what a call needs is taken before it runs; what it did besides is looked
for after it.

Guarding(sessions, fenced_out).before(project, event, pid, source)     # PreToolUse → a verdict, as a
hook's answer
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace

from octet.base.errors import NotFound, OctetError, StoreUnreachable
from octet.base.vocabulary import DEVELOPER
from octet.core.agents.registry import Agent
from octet.core.locks.overlap import Overlap
from octet.daemon.hooks import permission
from octet.daemon.hooks.sessions import Sessions
from octet.daemon.hooks.watch import Intrusion, Watch
from octet.daemon.liveness.fenced_out import FencedOut
from octet.daemon.projects.sessions import ProjectSession
from octet.guard import policy
from octet.guard.payload import PostToolUse, PreToolUse
from octet.guard.policy import wording
from octet.guard.reply import Reply as Answer
from octet.guard.reply import render_context, render_verdict

log = logging.getLogger("octet.guarding")

# An agent's touch of a path is noted this often at most.
TOUCH_EVERY_S = 1800.0


class Guarding:
    """Guards the tool calls of all projects; thread-safe."""

    def __init__(self, sessions: Sessions, fenced_out: FencedOut) -> None:
        self._sessions = sessions
        self._fenced_out = fenced_out
        self._watch = Watch()
        self._touched: dict[tuple[str, str, str, str], float] = {}

    def before(self, project: ProjectSession, event: PreToolUse, pid: int, _: str) -> Answer:
        """PreToolUse: what the call needs is taken, or the call is denied."""
        needs = policy.find_needs(event, project.repository)
        agent: Agent | None
        if needs.resources or needs.partial_paths or needs.names_agent:
            agent, verdict = self._guarded(project, event, pid, needs)
        else:
            agent, verdict = (
                self._sessions.known(project, event, pid),
                policy.judge(needs, policy.Granted(), project.repository),
            )
        if agent and verdict.decision != "deny":
            if needs.resources or needs.worktree_paths:
                project.writes.update({agent.id, agent.parent})
            call = (pid, event.tool_use_id) if event.tool_name == "Bash" else None
            self._watch.wrote(project, agent, needs.resources, call)
            if call:
                self._watch.begin(project, agent, call)
            verdict = self._with_meetings(project, agent, needs, verdict)
        return render_verdict(verdict, event)

    def _guarded(
        self, project: ProjectSession, event: PreToolUse, pid: int, needs: policy.Needs
    ) -> tuple[Agent, policy.Verdict]:
        agent = self._sessions.cached(project, event, pid)
        if refused := _astray(project, agent, needs) or self._fenced_out.refuse(
            project, agent, needs
        ):
            return agent, refused
        answer = self._permitted(project, agent, needs)
        if isinstance(answer, policy.Gone):
            self._sessions.forget(agent)
            joined = self._sessions.register(project, event, pid)
            agent = joined.agent
            if joined.how == "known":  # it took another role, and with it another name
                answer = self._permitted(project, agent, needs)
            elif lost := self._fenced_out.tell(project, agent, "PreToolUse"):
                return agent, policy.Verdict("deny", f"{lost} You are {agent.id} from now on.")
        return agent, policy.judge(needs, answer, project.repository, agent.id)

    def _with_meetings(
        self, project: ProjectSession, agent: Agent, needs: policy.Needs, verdict: policy.Verdict
    ) -> policy.Verdict:
        """The verdict, with who else changes the same paths in a worktree; the store is asked at an
        agent's first touch of a path.
        """
        now = time.monotonic()
        place = (project.name, project.url or "", agent.id)
        fresh = [
            path
            for path in needs.worktree_paths
            if self._touched.get((*place, path), -TOUCH_EVERY_S) + TOUCH_EVERY_S <= now
        ]
        if not fresh:
            return verdict
        if len(self._touched) > 10_000:
            self._touched.clear()
        self._touched |= {(*place, path): now for path in fresh}
        overlaps = project.connected().overlaps.touch(agent, fresh)
        return replace(
            verdict,
            context="\n".join(filter(None, [verdict.context, *map(_overlap_notice, overlaps)])),
        )

    def after(self, project: ProjectSession, event: PostToolUse, pid: int, _: str) -> Answer:
        """PostToolUse: what a shell command changed of files that others hold; both are told."""
        found = self._watch.end(project, (pid, event.tool_use_id))
        if not found:
            return Answer()
        agent = self._sessions.cached(project, event, pid)
        for intrusion in found:
            try:
                project.connected().messages.send(
                    intrusion.lock.holder,
                    wording.intruded(intrusion.path, agent.id),
                    sender=agent.id,
                )
            except StoreUnreachable:
                raise
            except OctetError as error:  # a lock that was set by hand may name anybody
                log.info("nobody to tell: %s", error)
        return render_context(type(event).__name__, "\n".join(map(_intruding, found)))

    def _permitted(
        self, project: ProjectSession, agent: Agent, needs: policy.Needs
    ) -> policy.Answer:
        octet = project.connected()
        swept = permission.in_the_way(octet, agent, needs)
        if swept and project.config.lock_paths == "enforce":
            return swept
        answer = permission.acquire(octet, agent, needs.resources)
        return swept if swept and isinstance(answer, policy.Granted) else answer


def _overlap_notice(overlap: Overlap) -> str:
    return wording.overlap(overlap.path, overlap.agent, overlap.task, overlap.branch)


def _intruding(found: Intrusion) -> str:
    return wording.intruding(found.path, found.lock.holder, found.lock.task)


def _astray(project: ProjectSession, agent: Agent, needs: policy.Needs) -> policy.Verdict | None:
    """A developer that has a worktree and writes in the shared checkout. Its worktree may be
    younger than what this process remembers.
    """
    if (
        agent.role != DEVELOPER
        or not needs.checkout_paths
        or needs.refusals
        or project.config.lock_paths != "enforce"
    ):
        return None
    try:
        worktree = project.connected().agents.get(agent.id).worktree
    except NotFound:
        return None
    return policy.misplaced(needs, worktree) if os.path.isdir(worktree) else None  # noqa: PTH112 - it may be ""
