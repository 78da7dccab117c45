"""UserPromptSubmit: a person's prompt, or one by which the client wakes a session."""

from __future__ import annotations

from octet.daemon.hooks.call import HookCall
from octet.daemon.hooks.context import HookContext
from octet.daemon.hooks.delivery import deliver_mail
from octet.daemon.turns.token_accounting import budget_notice, has_budget
from octet.daemon.turns.turn_events import answer_wake, hear_prompt
from octet.guard.payload import UserPromptSubmit
from octet.guard.reply import Reply as Answer
from octet.guard.reply import render_context


def answer_user_prompt(context: HookContext, call: HookCall[UserPromptSubmit]) -> Answer:
    """What the agent lost and holds, and its mail; without mail, the task that it was woken for."""
    agent = context.agents.find_or_register(call)
    mail = deliver_mail(context, call, agent)
    if mail:
        context.wakes.progresses(call.pid)
    told = [
        context.fenced_out.tell(call.project, agent, call.event_name),
        hear_prompt(call.project, agent, call.event.prompt),
        mail or answer_wake(call.project, agent, call.event.prompt),
    ]
    over = ""
    if has_budget(call.project.config):
        over = budget_notice(agent, call.octet.work_states.get(agent.id))
    return render_context(
        "UserPromptSubmit",
        "\n".join(filter(None, told)),
        notice=context.notices.once(call.pid, over),
    )
