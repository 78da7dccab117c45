"""PostToolUse, PostToolUseFailure and PostToolBatch: what a shell command overwrote, and mail."""

from __future__ import annotations

import logging

from octet.base.errors import OctetError, StoreUnreachable
from octet.core.agents.registry import Agent
from octet.daemon.hooks.call import HookCall
from octet.daemon.hooks.context import HookContext
from octet.daemon.hooks.delivery import deliver_mail
from octet.daemon.hooks.overwrites import Overwrite
from octet.guard.payload import PostToolBatch, PostToolUse
from octet.guard.policy import wording
from octet.guard.reply import Reply as Answer
from octet.guard.reply import render_context

log = logging.getLogger(__name__)


def answer_post_tool_use(context: HookContext, call: HookCall[PostToolUse]) -> Answer:
    """A shell command changed files that others hold: both sides are told."""
    found = context.overwrites.end(call.project, (call.pid, call.event.tool_use_id))
    if not found:
        return Answer()
    agent = context.agents.cached(call)
    for overwrite in found:
        _tell_holder(call, agent, overwrite)
    told = [wording.intruding(path, lock.holder, lock.task) for path, lock in found]
    return render_context(call.event_name, "\n".join(told))


def answer_post_tool_batch(context: HookContext, call: HookCall[PostToolBatch]) -> Answer:
    """All tools of one answer have run: mail comes in the middle of the turn."""
    agent = context.agents.cached(call)
    context.continuations.reset(call.project, agent)
    return render_context("PostToolBatch", deliver_mail(context, call, agent))


def _tell_holder(call: HookCall[PostToolUse], agent: Agent, overwrite: Overwrite) -> None:
    text = wording.intruded(overwrite.path, agent.id)
    try:
        call.octet.messages.send(overwrite.lock.holder, text, sender=agent.id)
    except StoreUnreachable:
        raise
    except OctetError as error:  # a lock that was set by hand may name anything
        log.info("the holder is not told: %s", error)
