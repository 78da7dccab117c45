"""SessionStart and SubagentStart: the agent is registered, and told what it must know."""

from __future__ import annotations

from octet.base.vocabulary import GUEST
from octet.core.agents.registry import Agent
from octet.daemon.hooks.call import HookCall
from octet.daemon.hooks.context import HookContext
from octet.daemon.hooks.delivery import deliver_mail
from octet.daemon.turns import mail
from octet.daemon.turns.briefing import brief
from octet.daemon.turns.turn_events import note_session_start
from octet.guard.payload import Event, SessionStart, SubagentStart
from octet.guard.reply import TEXT_LIMIT, render_context
from octet.guard.reply import Reply as Answer

# Of the client's limit, what the lines around the mail may take.
MARGIN = 1000


def answer_session_start(context: HookContext, call: HookCall[SessionStart]) -> Answer:
    """A session begins, or goes on after /clear, compaction or a resume."""
    agent = context.agents.register(call).agent
    context.token_accounting.begin(call.project, agent, call.event.transcript_path)
    note_session_start(call.octet, agent, call.event.source)
    told, news = _welcome(context, call, agent)
    if news and agent.role != GUEST:
        # Mail in a session's context is read in its first turn, which nothing may begin.
        context.wakes.left_unread(call.pid)
    return render_context("SessionStart", "\n".join(filter(None, [told, news])))


def answer_subagent_start(context: HookContext, call: HookCall[SubagentStart]) -> Answer:
    """A sub-agent begins."""
    agent = context.agents.register(call).agent
    parts = _welcome(context, call, agent)
    return render_context("SubagentStart", "\n".join(filter(None, parts)))


def _welcome(context: HookContext, call: HookCall[Event], agent: Agent) -> tuple[str, str]:
    """The briefing with what was lost, and the mail."""
    command = "/claim-task" if call.source == "dropin" else "/octet:claim-task"
    lost = context.fenced_out.tell(call.project, agent, call.event_name)
    told = "\n".join(filter(None, [brief(call.octet, agent, command), lost]))
    room = min(mail.ROOM, TEXT_LIMIT - MARGIN - len(told))
    return told, deliver_mail(context, call, agent, room)
