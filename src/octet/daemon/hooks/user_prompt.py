"""UserPromptSubmit: a person's prompt, or one by which the client wakes a session."""

from __future__ import annotations

from octet.daemon.hooks.call import HookCall
from octet.daemon.hooks.context import HookContext
from octet.daemon.hooks.delivery import deliver_mail
from octet.daemon.turns import loop
from octet.daemon.turns.token_accounting import budget_notice
from octet.guard.payload import UserPromptSubmit
from octet.guard.reply import Reply as Answer
from octet.guard.reply import render_context


def answer_user_prompt(context: HookContext, call: HookCall[UserPromptSubmit]) -> Answer:
    """What the agent has lost, what it holds, and its mail; without mail, the task that it was
    woken for.
    """
    agent = context.agents.find_or_register(call)
    mail = deliver_mail(context, call, agent)
    if mail:
        context.wakes.progresses(call.pid)
    told = [
        context.fenced_out.tell(call.project, agent, call.event_name),
        loop.heard(call.project, agent, call.event),
        mail or loop.woken(call.project, agent, call.event),
    ]
    return render_context(
        "UserPromptSubmit",
        "\n".join(filter(None, told)),
        notice=context.notices.once(call.pid, budget_notice(call.project, agent)),
    )
