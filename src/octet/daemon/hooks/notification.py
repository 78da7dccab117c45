"""Notification: the client says that a session is idle. Esc ends a turn without a Stop."""

from __future__ import annotations

from octet.daemon.hooks.call import HookCall
from octet.daemon.hooks.context import HookContext
from octet.daemon.turns.turn_events import note_broken_turn
from octet.guard.payload import Notification
from octet.guard.reply import Reply as Answer

IDLE = "idle_prompt"


def answer_notification(context: HookContext, call: HookCall[Notification]) -> Answer:
    if call.event.kind == IDLE:
        agent = context.agents.find_or_register(call)
        call.octet.locks.end_turn(agent)
        note_broken_turn(call.octet, agent)
    return Answer()
