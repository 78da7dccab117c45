"""Mail for the agent of a hook call."""

from __future__ import annotations

from contextlib import suppress

from octet.base.errors import AgentGone
from octet.core.agents.registry import Agent
from octet.daemon.hooks.call import HookCall
from octet.daemon.hooks.context import HookContext
from octet.daemon.turns import mail
from octet.guard.payload import Event


def deliver_mail(
    context: HookContext, call: HookCall[Event], agent: Agent, room: int = mail.ROOM
) -> str:
    """The text of what waits for the agent, at most `room` characters; "" for none."""
    try:
        return mail.deliver(call.project, agent, call.event, context.transcripts, room)
    except AgentGone:  # it has another name since it took a role, or was wrongly declared dead
        context.agents.forget(call.project, agent)
    with suppress(AgentGone):
        agent = context.agents.find_or_register(call)
        return mail.deliver(call.project, agent, call.event, context.transcripts, room)
    return ""
