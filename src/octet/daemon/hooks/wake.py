"""What an event tells of its session's turn, for waking it: a session in a turn is never woken."""

from __future__ import annotations

from octet.daemon.hooks.notification import IDLE
from octet.daemon.hooks.session_end import GOES_ON
from octet.guard.payload import (
    Event,
    Notification,
    SessionEnd,
    SessionStart,
    Stop,
    StopFailure,
    UserPromptSubmit,
)
from octet.guard.reply import Reply as Answer

# Compaction also starts a session, and may do so in the middle of a turn.
COMPACT = "compact"


def begins_turn(event: Event) -> bool:
    """Whether the session is in a turn from now on, or its hook is about to tell it what it need
    not be woken for.
    """
    match event:
        case SessionStart():
            return event.source != COMPACT
        case SessionEnd():
            return event.reason in GOES_ON
    return isinstance(event, UserPromptSubmit)


def ends_turn(event: Event, answer: Answer) -> bool:
    """Whether the session is idle from now on; context at its Stop lets the turn go on."""
    match event:
        case SessionStart():
            return event.source != COMPACT
        case Stop():
            return answer.exit_code == 0 and b'"additionalContext"' not in answer.stdout
        case Notification():
            return event.kind == IDLE
    return isinstance(event, StopFailure)
