"""What a client's transcript says of a message: whether it came into the model's context, and
whether the model has answered since.

The client (2.1.330) writes JSON lines. What a hook gave stands there as an `attachment` of type
`hook_additional_context`, what a command printed as a `user` entry; other entries repeat a hook's
output without the model seeing it. Entries come in order but up to 0.1 s late, so that at the hook
after the last one they may be missing: absence proves something only once an `assistant` entry
stands there that is younger than the delivery.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

# A day's work of a session; what lies before the last so many bytes of it is not looked at.
MOST_READ = 64 << 20
CONTEXT = frozenset({"hook_additional_context", "hook_blocking_error"})


@dataclass
class Evidence:
    """What was found.

    Attributes:
        exists: there is such a file, which a session without persistence has not.
        shown: references of messages that are in the context.
        answered_ms: when the model last spoke, by the client's clock; 0 for never.
        unasked: of those shown, the ones after which the client has asked the model nothing that is
            known of.
    """

    exists: bool = False
    shown: set[str] = field(default_factory=set)
    answered_ms: float = 0.0
    unasked: set[str] = field(default_factory=set)


def transcript_of(path: str, agent_id: str) -> str:
    """The file of a session's sub-agent, by the session's own; "" where that is unknown."""
    if not agent_id or not path:
        return path
    return str(Path(path).with_suffix("") / "subagents" / f"agent-{agent_id}.jsonl")


def size_of(path: str) -> int:
    """Bytes that are there now, 0 for a file that is not."""
    try:
        return Path(path).stat().st_size if path else 0
    except OSError:
        return 0


def look_for(refs: Iterable[str], path: str, offset: int = 0) -> Evidence:
    """Read a transcript from `offset` on; a file that cannot be read is none."""
    found, patterns = Evidence(), {ref: pattern_of(ref) for ref in refs}
    if not path or not Path(path).is_file():  # a pipe would hold the hook for ever
        return found
    try:
        with Path(path).open("rb") as lines:
            lines.seek(max(0, offset, size_of(path) - MOST_READ))
            found.exists = True
            for line in lines:
                _note(found, line, patterns)
    except (OSError, ValueError):
        return found
    return found


def pattern_of(ref: str) -> re.Pattern[str]:
    """How a message is named where it is shown: at the beginning of a line, as quoted text never
    is, or as a field of JSON.
    """
    return re.compile(rf'^\[{re.escape(ref)}\]|(?<!\\)"ref": "{re.escape(ref)}"', re.MULTILINE)


def _note(found: Evidence, line: bytes, patterns: dict[str, re.Pattern[str]]) -> None:
    if b'"assistant"' in line and (entry := _entry(line)).get("type") == "assistant":
        found.answered_ms = max(found.answered_ms, _time_ms(entry))
        found.unasked.clear()
    elif b'"api-request"' in line and _entry(line).get("type") == "api-request":
        found.unasked.clear()
    elif named := [ref for ref in patterns if ref.encode() in line]:
        text = "\n".join(_shown_by(_entry(line)))
        seen = {ref for ref in named if patterns[ref].search(text)}
        found.shown |= seen
        found.unasked |= seen


def _entry(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):  # a line that is being written
        return {}
    return entry if isinstance(entry, dict) else {}


def _shown_by(entry: dict[str, Any]) -> Iterator[str]:
    """The texts that an entry puts into the model's context."""
    attachment, message = entry.get("attachment"), entry.get("message")
    if (
        entry.get("type") == "attachment"
        and isinstance(attachment, dict)
        and attachment.get("type") in CONTEXT
    ):
        yield from _texts(attachment.get("content"))
        yield from _texts(attachment.get("blockingError"))
    elif entry.get("type") == "user" and isinstance(message, dict):
        yield from _texts(message.get("content"))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    parts: Sequence[Any] = value if isinstance(value, list) else ()
    if isinstance(value, dict):
        parts = [value.get(name) for name in ("text", "content", "blockingError")]
    for part in parts:
        yield from _texts(part)


def _time_ms(entry: dict[str, Any]) -> float:
    try:
        return (
            datetime.fromisoformat(str(entry.get("timestamp")).replace("Z", "+00:00")).timestamp()
            * 1000
        )
    except ValueError:
        return 0.0
