"""What a transcript says of a message: whether it came into the model's context, and whether the
model has answered since.

Entries are up to 0.1 s late, so that they may be missing at the hook after the last one: absence
proves something only once the model has spoken later than the delivery.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from octet.core.usage.transcript_reader import MAX_READ_BYTES, TranscriptReader, size_of


@dataclass
class MailEvidence:
    """What was found."""

    # There is such a file, which a session without persistence has not.
    exists: bool = False
    # References of messages that are in the context.
    shown: set[str] = field(default_factory=set)
    # When the model last spoke, by the client's clock; 0 for never.
    answered_ms: int = 0
    # Of those shown, the ones after which no request to the model is known.
    unasked: set[str] = field(default_factory=set)


def transcript_of(path: str, agent_id: str) -> str:
    """The file of a session's sub-agent, by the session's own; "" where that is unknown."""
    if not agent_id or not path:
        return path
    return str(Path(path).with_suffix("") / "subagents" / f"agent-{agent_id}.jsonl")


def find_evidence(
    reader: TranscriptReader, refs: Collection[str], path: str, offset: int = 0
) -> MailEvidence:
    """What a transcript says of these messages from `offset` on; at most of its last 64 MB."""
    found = MailEvidence()
    offset = max(0, offset, size_of(path) - MAX_READ_BYTES)
    reading = reader.read(Path(path), offset) if path else None
    if reading is None:
        return found
    found.exists = True
    for entry in reading.entries:
        if entry.answered:
            found.answered_ms = max(found.answered_ms, entry.at_ms)
        if entry.answered or entry.asked:
            found.unasked.clear()
        seen = entry.refs.intersection(refs)
        found.shown |= seen
        found.unasked |= seen
    return found
