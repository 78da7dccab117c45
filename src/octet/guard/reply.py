"""A verdict → exit code, standard output and standard error, as Claude Code reads them.

render_verdict(Verdict("deny", "a.py is held by developer-2 …"), event)
# Reply(0, b'{"hookSpecificOutput": …}\\n', b"")
render_context("SessionStart", "You are developer-2.")         # context for the model
render_context(None, notice="Octet: Redis does not answer")    # a line for the person
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from octet.guard.payload import PreToolUse
    from octet.guard.policy import Verdict

# The client cuts longer texts and spills the rest to a file.
TEXT_LIMIT = 10_000


class Reply(NamedTuple):
    """How the hook's process ends."""

    exit_code: int = 0
    stdout: bytes = b""
    stderr: bytes = b""


def render_verdict(verdict: Verdict, event: PreToolUse | None = None) -> Reply:
    """The answer to a guard event, PreToolUse where `event` is None. A verdict that says nothing
    gives an empty one: the client goes on as usual.
    """
    specific: dict[str, Any] = {}
    if verdict.decision != "pass":
        specific |= {"permissionDecision": verdict.decision}
        if verdict.reason:
            specific |= {"permissionDecisionReason": _text(verdict.reason)}
    if verdict.context:
        specific |= {"additionalContext": _text(verdict.context)}
    if verdict.updated_input is not None:
        specific |= {"updatedInput": dict(verdict.updated_input)}
    return _json(type(event).__name__ if event else "PreToolUse", specific, verdict.notice)


def render_context(event_name: str | None, context: str = "", *, notice: str = "") -> Reply:
    """Context for the model at an event that takes it, a notice for the person; both may be "".

    At Stop and SubagentStop context lets the turn go on. (So does a `block` decision, but the
    client words that as an error, tells the model twice, and once of these in the system's name.)
    """
    specific = {"additionalContext": _text(context)} if event_name and context else {}
    return _json(event_name or "", specific, notice)


def _json(event_name: str, specific: Mapping[str, Any], notice: str) -> Reply:
    answer: dict[str, Any] = {}
    if notice:
        answer["systemMessage"] = _text(notice)
    if specific:
        answer["hookSpecificOutput"] = {"hookEventName": event_name, **specific}
    return Reply(0, _encode(answer)) if answer else Reply()


def _encode(answer: Mapping[str, Any]) -> bytes:
    # ASCII escapes keep a lone surrogate of the tool's own input as it came; `_text` has replaced
    # those in ours.
    return json.dumps(answer).encode("ascii") + b"\n"


def _text(text: str) -> str:
    clean = text.encode("utf-8", "replace").decode("utf-8")
    return clean if len(clean) <= TEXT_LIMIT else clean[: TEXT_LIMIT - 1] + "…"
