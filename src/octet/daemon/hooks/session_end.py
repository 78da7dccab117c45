"""SessionEnd: the agent leaves, unless its process goes on with another session."""

from __future__ import annotations

from octet.daemon.hooks.call import HookCall
from octet.daemon.hooks.context import HookContext
from octet.guard.payload import SessionEnd
from octet.guard.reply import Reply as Answer

# Why a session ends whose process goes on.
GOES_ON = frozenset({"clear", "resume"})


def answer_session_end(context: HookContext, call: HookCall[SessionEnd]) -> Answer:
    agent = context.agents.find_or_register(call)
    context.token_accounting.account(call.project, agent, call.event.transcript_path)
    if call.event.reason in GOES_ON:
        call.octet.locks.end_turn(agent)
    else:
        context.agents.leave(call.project, agent)
    return Answer()
