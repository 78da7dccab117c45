"""PreToolUse: what a tool call needs is locked before it runs, or the call is denied."""

from __future__ import annotations

import os
from dataclasses import replace

from octet.base.errors import NotFound
from octet.base.vocabulary import DEVELOPER
from octet.core.agents.registry import Agent
from octet.daemon.hooks import permission
from octet.daemon.hooks.call import HookCall
from octet.daemon.hooks.context import HookContext
from octet.daemon.projects.sessions import ProjectSession
from octet.guard import policy
from octet.guard.payload import PreToolUse
from octet.guard.policy import wording
from octet.guard.reply import Reply as Answer
from octet.guard.reply import render_verdict


def answer_pre_tool_use(context: HookContext, call: HookCall[PreToolUse]) -> Answer:
    """The guard's verdict on a tool call."""
    event, repository = call.event, call.project.repository
    needs = policy.find_needs(event, repository)
    agent: Agent | None
    if needs.resources or needs.partial_paths or needs.names_agent:
        agent, verdict = _judge(context, call, needs)
    else:
        agent = context.agents.from_memory(call)
        verdict = policy.judge(needs, policy.Granted(), repository)
    if agent and verdict.decision != "deny":
        _note_writes(context, call, agent, needs)
        verdict = _with_overlaps(context, call, agent, needs, verdict)
    return render_verdict(verdict, event)


def judge_without_store(project: ProjectSession, event: PreToolUse, why: str) -> Answer:
    """The verdict where the store does not answer: the repository's `on_store_down`."""
    needs = policy.find_needs(event, project.repository)
    verdict = policy.judge(needs, policy.StoreDown(why), project.repository)
    return render_verdict(verdict, event)


def _judge(
    context: HookContext, call: HookCall[PreToolUse], needs: policy.Needs
) -> tuple[Agent, policy.Verdict]:
    agent = context.agents.cached(call)
    if refused := _outside_worktree(call, agent, needs) or context.fenced_out.refuse(
        call.project, agent, needs
    ):
        return agent, refused
    answer = _take_locks(call, agent, needs)
    if isinstance(answer, policy.Gone):
        context.agents.forget(call.project, agent)
        joined = context.agents.register(call)
        agent = joined.agent
        if joined.how == "known":  # it took another role, and with it another name
            answer = _take_locks(call, agent, needs)
        elif lost := context.fenced_out.tell(call.project, agent, "PreToolUse"):
            return agent, policy.Verdict("deny", f"{lost} You are {agent.id} from now on.")
    return agent, policy.judge(needs, answer, call.project.repository, agent.id)


def _outside_worktree(
    call: HookCall[PreToolUse], agent: Agent, needs: policy.Needs
) -> policy.Verdict | None:
    """A denial for a developer that has a worktree and writes in the shared checkout."""
    if (
        agent.role != DEVELOPER
        or not needs.checkout_paths
        or needs.refusals
        or call.project.config.lock_paths != "enforce"
    ):
        return None
    try:
        # Asked anew: the worktree may be younger than what this process remembers.
        worktree = call.octet.agents.get(agent.id).worktree
    except NotFound:
        return None
    return policy.misplaced(needs, worktree) if os.path.isdir(worktree) else None  # noqa: PTH112 - it may be ""


def _take_locks(
    call: HookCall[PreToolUse], agent: Agent, needs: policy.Needs
) -> policy.StoreAnswer:
    swept = permission.in_the_way(call.octet, agent, needs)
    if swept and call.project.config.lock_paths == "enforce":
        return swept
    answer = permission.acquire(call.octet, agent, needs.resources)
    return swept if swept and isinstance(answer, policy.Granted) else answer


def _note_writes(
    context: HookContext, call: HookCall[PreToolUse], agent: Agent, needs: policy.Needs
) -> None:
    if needs.resources or needs.worktree_paths:
        call.project.writes.update({agent.id, agent.parent})
    command = (call.pid, call.event.tool_use_id) if call.event.tool_name == "Bash" else None
    context.overwrites.note_write(call.project, agent, needs.resources, command)
    if command:
        context.overwrites.begin(call.project, agent, command)


def _with_overlaps(
    context: HookContext,
    call: HookCall[PreToolUse],
    agent: Agent,
    needs: policy.Needs,
    verdict: policy.Verdict,
) -> policy.Verdict:
    """The verdict, naming who else changes the same paths in a worktree of its own."""
    fresh = context.touches.fresh(call.project, agent, needs.worktree_paths)
    if not fresh:
        return verdict
    told = [
        wording.overlap(found.path, found.agent, found.task, found.branch)
        for found in call.octet.overlaps.touch(agent, fresh)
    ]
    return replace(verdict, context="\n".join(filter(None, [verdict.context, *told])))
